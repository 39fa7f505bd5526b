"""Screens of the manager's desk: targets, automation, accuracy, cost, people, states, letters."""
