"""Verbs of reference data: the starter set, and changing a payer's habits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from django.db import transaction

from rcm.accounts.actor import Actor
from rcm.accounts.problems import Refused
from rcm.reference.loaders import kinds
from rcm.reference.loaders.load import load_file
from rcm.reference.loaders.merge import STARTER, Outcome
from rcm.reference.models import Payer, ReferenceLoad
from rcm.reference.starter import FOLDER, ORDER

EDITABLE = (
    "name",
    "edi_id",
    "filing_days",
    "secondary_filing_days",
    "corrected_days",
    "appeal_days",
    "retro_auth_days",
    "update_window_days",
    "peer_to_peer_days",
    "auth_decision_hours",
    "response_days",
    "accepts_replacement",
    "split_on_locality",
    "contrast_payable",
    "match_site_by_tin",
    "needs_ordering_match",
    "screening_needs_order",
    "wants_detailed_indication",
    "member_id_pattern",
    "reviewer",
    "phone",
    "active",
)
_SHAPE = re.compile(r"[ANX][0-9]{1,2}( [ANX][0-9]{1,2})*")


def payer_update(
    *, payer: Payer, values: Mapping[str, Any], actor: Actor
) -> list[tuple[str, Any, Any]]:
    """Change a payer's habits; answers (field, before, after) of what differs and keeps them as a
    load. Raises `Refused`.

    Payers are shared by every organization of the house, so that each change is on record with its
    author.
    """
    actor.require("rules.edit")
    unknown = set(values) - set(EDITABLE)
    if unknown:
        raise Refused(f"{min(unknown)} cannot be changed here.", code="field", field=min(unknown))
    shape = values.get("member_id_pattern", "")
    if shape and not _SHAPE.fullmatch(shape):
        raise Refused(
            "Write the shape like A3 N9: A letters, N digits, X either.",
            code="shape",
            field="member_id_pattern",
        )
    edi = values.get("edi_id", payer.edi_id)
    with transaction.atomic():
        row = Payer.objects.select_for_update().get(pk=payer.pk)
        if Payer.objects.filter(edi_id=edi).exclude(pk=row.pk).exists():
            raise Refused(
                f"The EDI id {edi} already belongs to another payer.",
                code="duplicate",
                field="edi_id",
            )
        differs = [
            (name, getattr(row, name), value)
            for name, value in values.items()
            if getattr(row, name) != value
        ]
        if differs:
            for name, _, value in differs:
                setattr(row, name, value)
            row.source = f"edited by {actor.name}"[:200]
            row.save()
            said = {name: [str(before), str(after)] for name, before, after in differs}
            ReferenceLoad.objects.create(
                kind="payers",
                source=f"edited by {actor.name}: {row.code}"[:200],
                rows=1,
                changed=1,
                options=said,
                actor_name=actor.name,
            )
    return differs


def starter_load(*, actor_name: str = "starter set") -> Iterator[tuple[str, Outcome | None]]:
    """Load each sheet of the starter set once; rows that anyone else has loaded or edited stay as
    they are.

    Kinds of later phases (authorization rules) take part when their app has registered a loader.
    None means "loaded before".
    """
    known = {kind.name for kind in kinds()}
    for name in ORDER:
        if name not in known:
            continue
        record, outcome = load_file(
            kind=name,
            path=FOLDER / f"{name}.csv",
            source=f"{STARTER}: {name}.csv",
            actor_name=actor_name,
            starter=True,
        )
        yield name, None if record is None else outcome
