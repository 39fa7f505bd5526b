"""Telling people: weekly and monthly reports as PDF and mail, thresholds, the close of a month."""
