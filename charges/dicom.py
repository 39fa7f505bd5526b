"""Modality Performed Procedure Steps as records (rule `exam-match-order`). Pure: facts of
`rcm.exchange.dicom` in, one record for each accession out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal

from charges.records import ContrastGiven, Keys, PerformedRecord, SupplyGiven
from intake.hl7 import MODALITIES
from rcm.exchange.dicom import (
    COMPLETED,
    DISCONTINUED,
    IN_PROGRESS,
    Code,
    Dose,
    Mention,
    MppsFacts,
    Supply,
    enteral,
    number,
)

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
    begun: MppsFacts | None = None,
    supply_kinds: Mapping[str, str],
    interchange_id: int | None = None,
) -> list[PerformedRecord]:
    """What one N-CREATE or N-SET says of each accession. `accessions`: of the step's N-CREATE, for
    an N-SET that names none; `begun` is that N-CREATE, for a step that never had an accession.

    Contrast is taken from the series: one with contrast and one without means before and after; no
    mention at all stays unknown, since most modalities do not report it.
    """
    names = (
        [a for a in facts.accessions if a]
        or list(accessions)
        or ([facts.accession] if facts.accession else [])
    )
    first = begun or facts
    modality = facts.modality or first.modality
    supplies, addons = _supplies(facts.supplies, supply_kinds)
    codes = [
        c
        for step in dict.fromkeys((facts, first))
        for c in (_cpt(step.procedures), _cpt(step.protocols), _cpt(step.scheduled_procedures))
        if c
    ]
    found = []
    for position, accession in enumerate(names or [""]):
        found.append(
            PerformedRecord(
                organization_id=organization_id,
                source="mpps",
                keys=Keys(accession=accession, mrn=facts.patient_id or first.patient_id),
                status=STATUS.get(facts.status, "in_progress"),
                performed_at=facts.started_at or first.started_at,
                site_code=facts.location or first.location,
                modality=MODALITIES.get(modality, modality),
                # a step of several accessions does not say which code belongs to which
                code=codes[0] if codes and len(names) < 2 else "",
                station=_station(facts),
                study_uid=facts.study_uid,
                contrast=_contrast(facts, supply_kinds),
                dose=_dose(facts.dose),
                images=_images(facts),
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


def _contrast(facts: MppsFacts, kinds: Mapping[str, str]) -> ContrastGiven | None:
    """Contrast from every place of the step that speaks of it. What was drunk or given as an enema
    is no contrast of the code (CPT, radiology guidelines); words that say "none" count only where
    no other place says that some was given.
    """
    goods = [
        Mention(_CATALOG_AGENT.sub("", s.item.meaning), "", s.quantity if _liquid(s) else "")
        for s in facts.supplies
        if _is_contrast(s, kinds)
    ]
    told = [*facts.contrast, *goods]
    given = [m for m in told if m.given]
    if not told:
        return None
    if not given:
        return ContrastGiven(route="none")
    injected = [m for m in given if not enteral(m.route, m.agent)]
    if not injected:
        return ContrastGiven(
            route="rectal" if any(_RECTAL.search(m.route) for m in given) else "oral",
            agent=_first(m.agent for m in given),
        )
    marked = [s.contrast for s in facts.series]
    # whether there was a series before contrast is known only of an ended step that marks its series
    knows = any(marked) and facts.status == COMPLETED
    return ContrastGiven(
        route=next((r for r in map(_route, injected) if r), "iv"),
        agent=_first(m.agent for m in injected),
        given_ml=_number(_first(m.volume for m in (*goods, *injected))),
        pre=not all(marked) if knows else None,
        post=True,
    )


_RECTAL = re.compile(r"\b(?:rectal\w*|enema)\b", re.I)
_ROUTES = (
    (re.compile(r"\bintra-?venous\w*|\bi\.?v\b", re.I), "iv"),
    (re.compile(r"\bintra-?arterial\w*|\bi\.?a\b", re.I), "ia"),
    (re.compile(r"\bintra-?thecal\w*", re.I), "it"),
    (re.compile(r"\bintra-?articular\w*", re.I), "intra_articular"),
)
_CATALOG_AGENT = re.compile(r"^[A-Z]\d{4}$")
_AGENT_WORDS = re.compile(
    r"\bcontrast\b|\bgado\w+|\bio(?:hexol|pamidol|versol|dixanol|promide)", re.I
)


def _route(mention: Mention) -> str:
    return next((route for words, route in _ROUTES if words.search(mention.route)), "")


def _first(words: Iterable[str]) -> str:
    return next((w for w in words if w), "")


def _is_contrast(supply: Supply, kinds: Mapping[str, str]) -> bool:
    if supply.quantity and _number(supply.quantity) is None:
        return False
    if kinds.get(supply.item.value.upper(), "") == "contrast":
        return True
    return bool(_AGENT_WORDS.search(supply.item.meaning))


def _liquid(supply: Supply) -> bool:
    return supply.unit.lower() in ("ml", "cc")


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
    found = number(text)
    return found if found is not None and found < 100_000 else None


def _dose(dose: Dose) -> dict[str, str]:
    said = {"ctdi_vol": dose.ctdi_vol, "dlp": dose.dlp, "area": dose.area}
    return {name: f"{value.normalize():f}" for name, value in said.items() if value is not None}


def _images(facts: MppsFacts) -> int | None:
    """Images of the step. One that ends without naming a series made none (PS3.4 F.7.2: every
    series is named before the end).
    """
    if "PerformedSeriesSequence" in facts.present or facts.status == DISCONTINUED:
        return facts.images if facts.ended else None
    return None


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
