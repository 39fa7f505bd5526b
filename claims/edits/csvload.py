"""Reference tables straight from a folder of CSV files, for benches, tests and trials without a
database.

File names and columns are those of the data sheets that `manage.py load_reference` takes; what a
folder does not hold stays "not loaded" (None), so the engine says so.
"""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from claims.edits import seed
from claims.edits.reference import (
    AddOnRow,
    CoverageRow,
    IcdRelease,
    MueRow,
    PayerRow,
    ProcedureRow,
    PtpRow,
    ReferenceFacts,
)
from claims.edits.subject import plain_icd

POS_SETTING = {"Facility": "F", "Non-Facility": "NF"}
ICD_2026 = (date(2025, 10, 1), date(2026, 9, 30))


def load(
    folder: Path,
    *,
    payers: Mapping[str, PayerRow] | None = None,
    icd_valid: tuple[date, date] = ICD_2026,
) -> ReferenceFacts:
    """Read every known file of the folder. `icd_valid` is the range of service dates the diagnosis
    list is for.
    """
    drugs = {row["hcpcs"]: row["kind"] for row in _rows(folder, "hcpcs_contrast_radiopharm.csv")}
    return ReferenceFacts(
        procedures=_procedures(folder) or None,
        ptp=_ptp(folder) or None,
        mue=_mue(folder, "mue_practitioner_20240701", "mai_20240701") or None,
        mue_medicaid=_mue(folder, "mue_medicaid_practitioner_2026q1", "mai_20240701") or None,
        addons=_addons(folder) or None,
        icd=_icd(folder, icd_valid),
        pos={
            row["pos"]: POS_SETTING.get(row["mpfs_rate_setting"], "U")
            for row in _rows(folder, "pos_codes.csv")
        }
        or None,
        modifiers=(
            frozenset(row["modifier"] for row in _rows(folder, "modifiers_imaging.csv"))
            | seed.groups()["ncci_bypass"]
        )
        or None,
        taxonomies=frozenset(row["taxonomy"] for row in _rows(folder, "taxonomy_imaging.csv"))
        or None,
        drugs=drugs or None,
        coverage=_coverage(folder) or None,
        **seed.tables(),
        payers=payers or {},
    )


def _rows(folder: Path, name: str) -> Iterator[dict[str, str]]:
    path = folder / name
    if path.exists():
        opener: Any = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", newline="", encoding="utf-8") as handle:
            yield from csv.DictReader(handle)


def _procedures(folder: Path) -> dict[str, ProcedureRow]:
    fees: dict[str, dict[str, str]] = {}
    parts: dict[str, set[str]] = defaultdict(set)
    first_seen: dict[str, date | None] = {}
    for name, since in (
        ("pprrvu_imaging.csv", None),
        ("pprrvu_2026_imaging_pctc.csv", date(2026, 1, 1)),
    ):
        for row in _rows(folder, name):
            code = row["hcpcs"]
            first_seen.setdefault(code, since)
            if row["mod"] in ("26", "TC"):
                parts[code].add(row["mod"])
            else:
                fees[code] = row
    catalog = {row["hcpcs"]: row for row in _rows(folder, "code_family.csv")}
    drugs = {
        row["hcpcs"]: row["mpfs_status"] for row in _rows(folder, "hcpcs_contrast_radiopharm.csv")
    }
    found: dict[str, ProcedureRow] = {}
    for code in fees.keys() | catalog.keys() | drugs.keys() | parts.keys():
        fee, family = fees.get(code, {}), catalog.get(code, {})
        found[code] = ProcedureRow(
            code=code,
            status=fee.get("status", drugs.get(code, "")),
            pctc_ind=fee.get("pctc_ind", "9" if code in drugs else ""),
            bilat_ind=fee.get("bilat_ind", family.get("bilat_ind", "")),
            mult_proc_ind=fee.get("mult_proc_ind", ""),
            modifiers=frozenset(parts.get(code, ())),
            family=family.get("family_id", ""),
            modality=family.get("modality", ""),
            body_region=family.get("body_region", ""),
            contrast=family.get("contrast", ""),
            extent=family.get("extent", ""),
            views_min=int(family["views_min"]) if family.get("views_min") else None,
            effective_from=first_seen.get(code),
        )
    return found


def _ptp(folder: Path) -> dict[str, dict[str, tuple[PtpRow, ...]]]:
    found: dict[str, dict[str, tuple[PtpRow, ...]]] = {}
    rows = {indicator: (PtpRow(indicator),) for indicator in ("0", "1", "9")}
    for row in _rows(folder, "ncci_ptp_imaging.csv"):
        found.setdefault(row["column1"], {})[row["column2"]] = rows[row["modifier_indicator"]]
    return found


def _mue(folder: Path, limit: str, mai: str) -> dict[str, tuple[MueRow, ...]]:
    return {
        row["hcpcs"]: (MueRow(int(row[limit]), row[mai] or "3"),)
        for row in _rows(folder, "mue_imaging.csv")
        if row[limit].strip().isdigit()
    }


def _addons(folder: Path) -> dict[str, tuple[AddOnRow, ...]]:
    primaries: dict[str, set[str]] = defaultdict(set)
    kinds: dict[str, str] = {}
    for row in _rows(folder, "addon_imaging.csv"):
        kinds[row["addon_code"]] = row["aoc_type"]
        if row["primary_code"] != "CCCCC":
            primaries[row["addon_code"]].add(row["primary_code"])
    return {code: (AddOnRow(kind, frozenset(primaries[code])),) for code, kind in kinds.items()}


def _coverage(folder: Path) -> dict[str, tuple[CoverageRow, ...]]:
    covered: dict[str, set[str]] = defaultdict(set)
    excluded: dict[str, set[str]] = defaultdict(set)
    policies: dict[str, set[str]] = defaultdict(set)
    for row in _rows(folder, "lcd_dx_imaging.csv"):
        (covered if row["covered"] == "Y" else excluded)[row["hcpcs"]].add(
            plain_icd(row["icd10cm"])
        )
        policies[row["hcpcs"]].update(row["lcd_ids"].split(";"))
    return {
        code: (
            CoverageRow(
                frozenset(covered[code]),
                frozenset(excluded[code]),
                ", ".join(sorted(policies[code])[:3]),
            ),
        )
        for code in policies
    }


def _icd(folder: Path, valid: tuple[date, date]) -> tuple[IcdRelease, ...] | None:
    codes: set[str] = set()
    sides: dict[str, str] = {}
    for row in _rows(folder, "icd10cm_billable.csv.gz"):
        code = plain_icd(row["code"])
        codes.add(code)
        side = side_of(row["description"])
        if side:
            sides[code] = side
    return (IcdRelease(*valid, frozenset(codes), sides),) if codes else None


def side_of(description: str) -> str:
    """RT, LT or 50 when the words of a diagnosis name one side or both; blank when they name
    none.
    """
    words = set(description.lower().replace(",", " ").replace("-", " ").split())
    right, left = "right" in words, "left" in words
    if "bilateral" in words or (right and left):
        return "50"
    return "RT" if right else "LT" if left else ""
