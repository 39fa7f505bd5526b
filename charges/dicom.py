"""Modality Performed Procedure Steps as records (rule `exam-match-order`). Pure: facts of
`rcm.exchange.dicom` in, one record for each accession out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation

from charges.records import ContrastGiven, Keys, PerformedRecord, SupplyGiven
from intake.hl7 import MODALITIES
from rcm.exchange.dicom import COMPLETED, DISCONTINUED, IN_PROGRESS, Code, MppsFacts, Supply

STATUS = {IN_PROGRESS: "in_progress", COMPLETED: "completed", DISCONTINUED: "discontinued"}
_CPT = re.compile(r"[0-9A-Z]\d{3}[0-9A-Z]")
_CPT_SCHEMES = {"C4", "CPT", "CPT4", "C5", "HCPCS", "HPC"}
_SAFETY = re.compile(r"\b(?:reaction|emergency|deteriorat\w+|unstable|safety|distress)\b", re.I)
_NOT_SAFETY = re.compile(
    r"\b(?:refus\w+|declin\w+|equipment|malfunction|technical|cancel\w+|wrong|duplicate)\b", re.I
)


def records(
    facts: MppsFacts,
    organization_id: int,
    *,
    accessions: Iterable[str] = (),
    supply_kinds: Mapping[str, str],
    interchange_id: int | None = None,
) -> list[PerformedRecord]:
    """What one N-CREATE or N-SET says of each accession. `accessions`: of the step's N-CREATE, for
    an N-SET that names none.

    Contrast is taken from the series: one with contrast and one without means before and after; no
    mention at all stays unknown, since most modalities do not report it.
    """
    names = (
        [a for a in facts.accessions if a]
        or list(accessions)
        or ([facts.accession] if facts.accession else [])
    )
    supplies, addons = _supplies(facts.supplies, supply_kinds)
    codes = [
        c
        for c in (_cpt(facts.procedures), _cpt(facts.protocols), _cpt(facts.scheduled_procedures))
        if c
    ]
    found = []
    for position, accession in enumerate(names or [""]):
        found.append(
            PerformedRecord(
                organization_id=organization_id,
                source="mpps",
                keys=Keys(accession=accession, mrn=facts.patient_id),
                status=STATUS.get(facts.status, "in_progress"),
                performed_at=facts.started_at,
                site_code=facts.location,
                modality=MODALITIES.get(facts.modality, facts.modality),
                # a step of several accessions does not say which code belongs to which
                code=codes[0] if codes and len(names) < 2 else "",
                station=_station(facts),
                study_uid=facts.study_uid,
                contrast=_contrast(facts, supplies),
                supplies=supplies if position == 0 else (),
                addons=addons if position == 0 else (),
                for_safety=_for_safety(facts.discontinuation),
                interchange_id=interchange_id,
                position=position,
            )
        )
    return found


def _station(facts: MppsFacts) -> str:
    """The machine. An N-SET may not name it (PS3.4 F.7.2), and the sender of an N-SET is often a
    gateway: only an N-CREATE without a station is taken for its sender's.
    """
    if facts.station_ae or facts.operation != "N-CREATE":
        return facts.station_ae
    return facts.calling_ae


def _cpt(codes: Iterable[Code]) -> str:
    return next(
        (
            c.value.upper()
            for c in codes
            if c.scheme.upper() in _CPT_SCHEMES and _CPT.fullmatch(c.value.upper())
        ),
        "",
    )


def _contrast(facts: MppsFacts, supplies: tuple[SupplyGiven, ...]) -> ContrastGiven | None:
    given = [s.contrast for s in facts.series]
    if not facts.contrast_agents and not any(given):
        return None
    pre = None if facts.status != COMPLETED or not given else not all(given)
    return ContrastGiven(
        route="iv",
        agent=facts.contrast_agents[0] if facts.contrast_agents else "",
        given_ml=_millilitres(facts.supplies),
        pre=pre if any(given) else None,
        post=True,
    )


def _millilitres(supplies: Iterable[Supply]) -> Decimal | None:
    for supply in supplies:
        if supply.unit.lower() in ("ml", "cc"):
            return _number(supply.quantity)
    return None


def _supplies(
    supplies: Iterable[Supply], kinds: Mapping[str, str]
) -> tuple[tuple[SupplyGiven, ...], tuple[SupplyGiven, ...]]:
    goods: list[SupplyGiven] = []
    addons: list[SupplyGiven] = []
    for supply in supplies:
        code = supply.item.value.upper()
        kind, units = kinds.get(code, ""), _number(supply.quantity)
        if (
            kind in ("contrast", "radiopharm")
            and units is not None
            and supply.unit.lower() not in ("ml", "cc")
        ):
            goods.append(SupplyGiven(code, units))
        elif kind in ("addon", "guidance"):
            addons.append(SupplyGiven(code, units or Decimal(1)))
    return tuple(goods), tuple(addons)


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() and 0 < number < 100_000 else None


def _for_safety(reason: Code | None) -> bool | None:
    """Whether a step was stopped for the patient's safety (53) or not; None when the reason does
    not say (rule `exam-not-completed`).
    """
    if reason is None:
        return None
    words = f"{reason.meaning} {reason.value}"
    if _SAFETY.search(words):
        return True
    return False if _NOT_SAFETY.search(words) else None
