"""Scrubbing: a catalogue of edits over plain claim facts. Importing it
registers every edit.

`scrub` runs the catalogue, `catalogue` lists it, `repair` mends what is only badly written.
docs/edits.md shows how to add an edit.
"""

from __future__ import annotations

from importlib import import_module

from claims.edits.engine import link_batch, scrub, scrub_iter
from claims.edits.facts import Address, ClaimFacts, LineFacts, OtherCoverage, PriorLine
from claims.edits.reference import ReferenceFacts
from claims.edits.registry import (
    Edit,
    Finding,
    Override,
    OverrideAction,
    Owner,
    Severity,
    catalogue,
)
from claims.edits.repairs import Repair, repair

FAMILIES = (
    "format",
    "identity",
    "codes",
    "modifiers",
    "component",
    "ncci",
    "duplicates",
    "modality",
    "necessity",
    "authorization",
    "coverage",
    "enrollment",
    "documentation",
    "timely",
)
"""The modules of edits, in the order of the catalogue page; importing one registers its edits."""

for _family in FAMILIES:
    import_module(f"{__name__}.{_family}")

__all__ = [
    "FAMILIES",
    "Address",
    "ClaimFacts",
    "Edit",
    "Finding",
    "LineFacts",
    "OtherCoverage",
    "Override",
    "OverrideAction",
    "Owner",
    "PriorLine",
    "ReferenceFacts",
    "Repair",
    "Severity",
    "catalogue",
    "link_batch",
    "repair",
    "scrub",
    "scrub_iter",
]
