"""``manage.py x12 FILE… [--json] [--check]``: what is in X12 files, whether it adds up, and whether
the guide allows it.
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from rcm.x12 import guide
from rcm.x12.facts import Facts, describe

READ, NOT_X12 = 0, 2


class Command(BaseCommand):
    help = (
        "Read X12 files: kind, counts, balance and findings. Exit 0 when all were read, 2 when one"
        " is no X12."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE")
        parser.add_argument(
            "--json", action="store_true", help="one JSON object a file, each on its own line"
        )
        parser.add_argument(
            "--check",
            action="store_true",
            help="also check 837 files against the implementation guide",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        code = READ
        for name in options["files"]:
            facts = facts_of(name, check=options["check"])
            if facts["kind"] is None:
                code = NOT_X12
            if options["json"]:
                self.stdout.write(json.dumps(facts))
            else:
                for line in sentences(facts):
                    self.stdout.write(
                        printable(line, getattr(self.stdout, "encoding", None) or "utf-8")
                    )
        if code:
            self.stdout.flush()
            sys.exit(code)


def printable(line: str, encoding: str) -> str:
    """``line`` without control characters or letters the terminal cannot take: files may hold
    anything.
    """
    shown = "".join(letter if letter.isprintable() else "?" for letter in line)
    return shown.encode(encoding, "replace").decode(encoding)


def facts_of(name: str, *, check: bool) -> Facts:
    """The facts of the file called ``name``; whatever goes wrong becomes a finding."""
    try:
        facts = describe(name)
    except OSError as error:
        return _refused(
            name,
            "cannot-read",
            f"The file cannot be read: {error.strerror or type(error).__name__}.",
        )
    except Exception as error:  # a reader that fails on some file must still end in a sentence
        return _refused(
            name,
            "reader-failed",
            f"The reader stopped with {type(error).__name__}; please report the file.",
        )
    if check and facts["kind"] is not None:
        _check(name, facts)
    return facts


def _refused(name: str, code: str, message: str) -> Facts:
    return {
        "file": name,
        "kind": None,
        "n_interchanges": 0,
        "n_transactions": 0,
        "envelope_errors": [],
        "findings": [{"code": code, "level": "error", "where": "file", "message": message}],
        "transactions": [],
    }


def _check(name: str, facts: Facts) -> None:
    kinds = set(str(facts["kind"]).split("+"))
    if not kinds <= {"837P", "837I"}:
        facts["findings"].append(
            {
                "code": "guide-not-applied",
                "level": "info",
                "where": "file",
                "message": "The guide check is for outgoing claims (837P, 837I) only.",
            }
        )
        return
    result = guide.check(Path(name).read_bytes())
    facts["guide_valid"] = result.valid
    for item in result.findings:
        where = " ".join(
            part
            for part in (
                f"claim {item.claim_id}" if item.claim_id else "",
                f"loop {item.loop}" if item.loop else "",
                f"{item.segment}{item.element:02d}" if item.element else item.segment,
            )
            if part
        )
        facts["findings"].append(
            {
                "code": f"guide-{item.code}",
                "level": "error",
                "where": where or "file",
                "message": item.message,
                "segment": item.segment_position,
            }
        )


def sentences(facts: Facts) -> list[str]:
    """The facts of one file for a person."""
    name, kind = facts["file"], facts["kind"]
    lines = []
    if kind is None:
        lines.append(f"{name}: {facts['findings'][0]['message']}")
        return lines
    n = facts["n_transactions"]
    lines.append(
        f"{name}: {kind}, {n} transaction set{'' if n == 1 else 's'} in {facts['n_segments']}"
        " segments"
    )
    for one in facts["transactions"][:50]:
        lines.append(f"  ST {one['st02']}: {_one_line(one)}")
    if n > 50:
        lines.append(f"  … and {n - 50} more")
    for ack in facts["ta1"]:
        lines.append(
            f"  TA1: interchange {ack[0] if ack else '?'} code {ack[3] if len(ack) > 3 else '?'}"
        )
    for text in facts["envelope_errors"][:20]:
        lines.append(f"  envelope: {text}")
    shown = [item for item in facts["findings"] if item["where"] != "envelope"]
    for item in shown[:40]:
        lines.append(f"  {item['level']}: {item['where']}: {item['message']}")
    if len(shown) > 40:
        lines.append(f"  … and {len(shown) - 40} more findings (--json shows all)")
    return lines


def _one_line(one: Facts) -> str:
    if "bpr02" in one:
        state = "balanced" if one["balanced"] else "NOT BALANCED"
        return (
            f"payment {one['bpr02']} by {one['bpr04'] or '?'} {one['trn02']}, {one['n_claims']}"
            f" claims, {one['n_service_lines']} lines, paid {one['sum_clp04']}, provider"
            f" adjustments {one['sum_plb']}: {state}"
        )
    if "sum_clm02" in one:
        return (
            f"{one['n_claims']} claims, {one['n_service_lines']} lines, charges {one['sum_clm02']}"
        )
    if "n_eb" in one:
        return (
            f"{one['n_eb']} benefits, {len(one['aaa'])} rejections, "
            f"{'active coverage' if one['active_coverage'] else 'no active coverage stated'}"
        )
    if "traces" in one:
        return f"{len(one['traces'])} traces"
    if "ak9" in one:
        return (
            f"group {one['ak1'][0][1] if one['ak1'] and len(one['ak1'][0]) > 1 else '?'}:"
            f" {len(one['sets'])} sets"
        )
    return str(one["kind"])
