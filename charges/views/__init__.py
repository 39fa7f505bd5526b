"""Screens of the mid-cycle, a module for each resource."""
