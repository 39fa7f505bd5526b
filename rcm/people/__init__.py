"""Who may come in: users with their roles and sessions, partner systems with their scopes.

A room without tables: the rows are rcm.accounts', which stands below the pages and events that
these screens need.
"""
