"""Screens of the front desk, one module for each resource."""
