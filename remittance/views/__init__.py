"""Screens of posting, denials, appeals, underpayments, unapplied cash and the bank: a module for
each resource.
"""
