"""Screens of claims, a module for each resource."""
