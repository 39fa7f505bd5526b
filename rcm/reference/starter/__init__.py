"""The product's own starter set: small sheets in our own words, so that a fresh install can follow
an exam from order to payment.

Facts (codes, indicators, relative values, indices, limits) are public; every name and sentence here
is our own; payers are invented.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent

ORDER: tuple[str, ...] = (
    "payers",
    "plans",
    "states",
    "holidays",
    "taxonomies",
    "pos",
    "modifiers",
    "procedures",
    "diagnoses",
    "carc",
    "rarc",
    "ptp",
    "mue",
    "addons",
    "coverage",
    "fees",
    "gpci",
    "zips",
    "auth_rules",
    "crosswalks",
    "auth_windows",
    "reviewers",
)
"""Kinds in the order they must be loaded: what others refer to comes first. Each has a sheet of its
name here.
"""
