"""What a simulated payer decides about a member, a request for authorization and a claim.

Decisions use the payer's own books (Grant, Received) and its habits; prices come from the same
public fee schedule that everybody has, times the payer's percentage, so that a difference from the
product's expectation is a habit of the payer and nothing else.
"""

from __future__ import annotations

import hashlib
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

from rcm.pricing.db_tables import reference_tables
from rcm.pricing.expected import price_session
from rcm.pricing.facts import (
    Benefits,
    BilledLine,
    Contract,
    ContractRate,
    Locality,
    MpprScope,
    MpprTerms,
    PriceStatus,
    PricingContext,
    RateMethod,
)
from rcm.simulator.habits import Habit, draw, fate, habit, pick
from rcm.simulator.models import Grant, Received
from rcm.x12.model import Claim

CENT = Decimal("0.01")
ADVANCED = {"CT": "CT", "CTA": "CT", "MR": "MR", "MRA": "MR", "PET": "PET", "NM": "NM"}


def cents(value: Decimal) -> Decimal:
    return value.quantize(CENT)


# --- eligibility ----------------------------------------------------------------------------------


def member_state(payer: str, member_id: str) -> str:
    """active, inactive or unknown; the same member always the same."""
    known = fate(member_id)
    if known:
        return known if known in ("inactive", "unknown") else "active"
    h = habit(payer)
    return (
        pick({"inactive": h.inactive, "unknown": h.unknown_member}, "member", payer, member_id)
        or "active"
    )


def deductible_left(payer: str, member_id: str) -> Decimal:
    """Deductible still open for a member: none, part or all of it."""
    h = habit(payer)
    share = (Decimal(0), Decimal(0), Decimal("0.2"), Decimal(1))[
        draw("deductible", payer, member_id) % 4
    ]
    return cents(h.deductible * share)


# --- authorization --------------------------------------------------------------------------------


def decide_request(
    payer: str, member_id: str, trace: str, codes: list[tuple[str, int]], day: date
) -> Grant:
    """The payer's case for a 278: found again by its trace, else decided and numbered."""
    known = Grant.objects.filter(trace=trace).first()
    if known:
        return known
    known_fate = fate(member_id)
    action = {
        "": pick(habit(payer).auth, "auth", payer, trace),
        "pended": "A4",
        "refused": "A3",
    }.get(known_fate, "A1") or "A1"
    final = action
    if action == "A4":
        final = "A1" if known_fate or draw("auth later", trace) < 800 else "A3"
    number = (
        f"{payer[:2]}{day:%y}{int(hashlib.sha256(trace.encode()).hexdigest()[:9], 16) % 10**8:08d}"
    )
    granted = codes if action != "A6" else [(c, 1) for c, _ in codes[:1]]
    return Grant.objects.create(
        trace=trace,
        payer=payer,
        member_id=member_id,
        number=number if final != "A3" else "",
        action=action,
        final_action=final,
        codes=[list(c) for c in granted],
        asked_on=day,
        valid_from=day,
        valid_to=day + timedelta(days=60),
    )


def grant_now(grant: Grant, day: date) -> str:
    """The action as it stands on a day: a pended case is decided three days after it was asked."""
    return grant.final_action if day >= grant.asked_on + timedelta(days=3) else grant.action


# --- claims ---------------------------------------------------------------------------------------


def facts_of(claim: Claim) -> dict[str, Any]:
    """A received claim as plain JSON: what adjudication and the answers need."""
    person = claim.who_is_patient
    place = claim.facility or claim.billing
    return {
        "claim_id": claim.claim_id,
        "charge": str(claim.charge),
        "pos": claim.pos,
        "frequency": claim.frequency,
        "filing_code": claim.filing_code,
        "f8": claim.payer_control,
        "auth": claim.authorization,
        "sequence": claim.payer_sequence,
        "payer_name": claim.payer.name,
        "payer": claim.payer.id,
        "billing": {
            "name": claim.billing.name,
            "npi": claim.billing.npi,
            "tin": claim.billing.tax_id,
        },
        "member_id": claim.subscriber.id,
        "subscriber": {"last": claim.subscriber.name, "first": claim.subscriber.first},
        "patient": {
            "last": person.name,
            "first": person.first,
            "born": person.birth_date.isoformat() if person.birth_date else "",
        },
        "zip": place.address.zip if place.address else "",
        "diagnoses": [d.code for d in claim.diagnoses],
        "others": [
            {
                "sequence": o.sequence,
                "paid": str(o.paid or 0),
                "lines": {
                    line.line_control or str(n): {
                        "paid": str(
                            sum(
                                (a.paid for a in line.adjudications if a.payer_id == o.payer.id),
                                Decimal(0),
                            )
                        ),
                        "pr": str(
                            sum(
                                (
                                    x.amount
                                    for a in line.adjudications
                                    if a.payer_id == o.payer.id
                                    for x in a.adjustments
                                    if x.group == "PR"
                                ),
                                Decimal(0),
                            )
                        ),
                    }
                    for n, line in enumerate(claim.lines, 1)
                },
            }
            for o in claim.other_payers
        ],
        "lines": [
            {
                "code": line.procedure.code,
                "mods": list(line.procedure.modifiers),
                "charge": str(line.charge),
                "units": str(line.units),
                "day": line.service_date.isoformat() if line.service_date else "",
                "control": line.line_control,
                "bought": str(line.purchased.amount) if line.purchased else "",
                "zip": line.facility.address.zip if line.facility and line.facility.address else "",
            }
            for line in claim.lines
        ],
    }


def fingerprint(facts: dict[str, Any]) -> str:
    """Same patient, payer, day, codes and components: the same claim again."""
    lines = sorted((x["day"], x["code"], *x["mods"][:2]) for x in facts["lines"])
    return hashlib.sha256(
        repr((facts["payer"], facts["member_id"], facts["patient"], lines)).encode()
    ).hexdigest()


def reject_reason(facts: dict[str, Any], day: date) -> str:
    """277CA category:status[:entity] when the claim does not enter adjudication, else empty. Real
    faults first, habits second.
    """
    if member_state(facts["payer"], facts["member_id"]) == "unknown":
        return "A7:164:IL"
    if any(x["day"] and date.fromisoformat(x["day"]) > day for x in facts["lines"]):
        return "A7:187"
    if facts["frequency"] in "78" and not facts["f8"]:
        return "A7:464"
    if fate(facts["member_id"]):
        first = not Received.objects.filter(fingerprint=fingerprint(facts)).exists()
        return "A7:562:85" if fate(facts["member_id"]) == "rejected" and first else ""
    again = Received.objects.filter(claim_id=facts["claim_id"]).exclude(rejected="").exists()
    if (
        facts["frequency"] == "1"
        and not again
        and draw("reject", facts["claim_id"]) < habit(facts["payer"]).reject
    ):
        return ("A7:562:85", "A7:507", "A8:496", "A7:255")[draw("which", facts["claim_id"]) % 4]
    return ""


@lru_cache(maxsize=64)
def _contract(payer: str, percent: Decimal, no_mppr: bool) -> Contract:
    terms = MpprTerms(
        MpprScope.NONE if no_mppr else MpprScope.GROUP,
        Decimal("0.95"),
        Decimal("0.50"),
        None,
        Decimal("0.75"),
    )
    return Contract(
        key=payer,
        name=payer,
        rates=(ContractRate(RateMethod.PERCENT_OF_MEDICARE, percent),),
        effective_from=date(2020, 1, 1),
        mppr=terms,
        equipment_reductions=True,
    )


def allowed_amounts(facts: dict[str, Any], h: Habit) -> list[tuple[Decimal | None, Decimal]]:
    """(allowed, multiple-procedure reduction) for each line, by the payer's own price list; None
    when it has no price.
    """
    day = date.fromisoformat(facts["lines"][0]["day"])
    tables = reference_tables()
    context = PricingContext(
        date_of_service=day,
        pos=facts["pos"],
        locality=tables.locality_of_zip(facts["zip"]),
        contract=None if h.medicare else _contract(facts["payer"], h.percent, h.no_mppr),
        benefits=Benefits(deductible_remaining=Decimal(0)),
    )
    lines = [
        BilledLine(
            str(n),
            x["code"],
            tuple(x["mods"]),
            max(1, int(Decimal(x["units"]))),
            Decimal(x["charge"]),
            session="one",
            locality=_locality(tables, x["zip"]),
            purchased_price=Decimal(x["bought"]) if x.get("bought") else None,
        )
        for n, x in enumerate(facts["lines"])
    ]
    out: list[tuple[Decimal | None, Decimal]] = []
    for priced in price_session(lines, context=context, tables=tables):
        amount = priced.allowed if priced.status == PriceStatus.PRICED else None
        out.append((amount, priced.cut("multiple")))
    return out


def _locality(tables: Any, zip_code: str) -> Locality | None:
    return tables.locality_of_zip(zip_code) if zip_code else None


def adjudicate(row: Received) -> dict[str, Any]:
    """Decide an accepted claim: CLP status, and for each line paid, adjustments (group, reason,
    amount) and remarks.
    """
    facts, h = row.facts, habit(row.payer)
    charges = [Decimal(x["charge"]) for x in facts["lines"]]
    total = sum(charges, Decimal(0))
    denial = _denial(row, facts, h)
    if facts["frequency"] == "8":
        return {"status": "22", "void": True, "lines": []}
    if denial:
        reason, remarks, group = denial
        return {
            "status": "4",
            "paid": "0.00",
            "patient": str(total if group == "PR" else Decimal("0.00")),
            "lines": [
                {"paid": "0.00", "cas": [[group, reason, str(c)]], "remarks": remarks}
                for c in charges
            ],
        }
    tables = reference_tables()
    left = deductible_left(row.payer, facts["member_id"])
    lines: list[dict[str, Any]] = []
    paid_total = patient_total = Decimal("0.00")
    copay_left = h.copay
    test = fate(facts["member_id"])
    short = facts["frequency"] == "1" and (
        test == "short" if test else draw("short", facts["claim_id"]) < h.underpay
    )
    one = (
        pick(h.deny, "line", facts["claim_id"])
        if facts["frequency"] == "1" and len(charges) > 1 and not test
        else ""
    )
    for n, (x, charge, (allowed, cut)) in enumerate(
        zip(facts["lines"], charges, allowed_amounts(facts, h), strict=True)
    ):
        other = next(
            (o["lines"].get(x["control"]) for o in facts["others"] if o["sequence"] == "P"), None
        )
        if facts["sequence"] == "S" and other is not None:
            owed = min(Decimal(other["pr"]), charge)
            cas = [["OA", "23", str(charge - owed)]] if charge != owed else []
            lines.append({"paid": str(owed), "cas": cas, "remarks": []})
            paid_total += owed
            continue
        if one and n == len(charges) - 1 and tables.modality(x["code"]) not in ADVANCED:
            lines.append({"paid": "0.00", "cas": [["CO", "97", str(charge)]], "remarks": ["M15"]})
            continue
        if allowed is None:
            allowed = cents(charge * Decimal("0.35"))
        if short:
            allowed = cents(allowed * Decimal("0.88"))
        allowed = min(allowed, charge)
        shown_cut = min(cut, charge - allowed) if cut else Decimal("0.00")
        cas: list[list[str]] = []  # type: ignore[no-redef]
        contractual = charge - allowed - shown_cut
        if contractual:
            cas.append(["CO", "45", str(contractual)])
        if shown_cut:
            cas.append(["CO", "59", str(shown_cut)])
        rest = allowed
        met = min(left, rest)
        if met:
            cas.append(["PR", "1", str(met)])
            left -= met
            rest -= met
        share = cents(allowed * h.coinsurance) if h.coinsurance and rest else Decimal("0.00")
        share = min(share, rest)
        if share:
            cas.append(["PR", "2", str(share)])
            rest -= share
        if copay_left and rest:
            part = min(copay_left, rest)
            cas.append(["PR", "3", str(part)])
            copay_left -= part
            rest -= part
        if h.medicare and rest:
            held = cents(rest * Decimal("0.02"))
            if held:
                cas.append(["CO", "253", str(held)])
                rest -= held
        paid_total += rest
        patient_total += sum((Decimal(a) for g, _, a in cas if g == "PR"), Decimal(0))
        lines.append(
            {
                "paid": str(rest),
                "cas": cas,
                "remarks": ["N361"] if shown_cut else [],
                "allowed": str(allowed),
            }
        )
    status = "2" if facts["sequence"] == "S" else ("19" if h.forwards and facts["others"] else "1")
    return {
        "status": status,
        "paid": str(paid_total),
        "patient": str(patient_total),
        "lines": lines,
    }


def _denial(row: Received, facts: dict[str, Any], h: Habit) -> tuple[str, list[str], str] | None:
    """(reason, remarks, group) of a whole-claim denial: first what the payer can see, then its
    habits.
    """
    first_day = min(x["day"] for x in facts["lines"] if x["day"])
    day = date.fromisoformat(first_day)
    if (
        facts["frequency"] == "1"
        and Received.objects.filter(
            fingerprint=row.fingerprint, frequency="1", rejected="", pk__lt=row.pk
        ).exists()
    ):
        return "18", ["N522"], "CO"
    if (
        (row.received_on - day).days > h.filing_days
        and facts["frequency"] == "1"
        and facts["sequence"] == "P"
    ):
        return "29", [], "CO"
    if member_state(row.payer, facts["member_id"]) == "inactive":
        return "27", [], "CO"
    if facts["sequence"] == "P":
        found = _authorization_fault(row, facts, h, day)
        if found:
            return found
    if (
        facts["frequency"] == "1"
        and facts["sequence"] == "P"
        and not row.decision.get("overturned")
    ):
        if fate(facts["member_id"]):
            reason = {"incomplete": "16", "unnecessary": "50"}.get(fate(facts["member_id"]), "")
            return (reason, _REMARKS[reason], "CO") if reason else None
        reason = pick(h.deny, "deny", facts["claim_id"])
        if reason and reason != "97":
            return reason, _REMARKS.get(reason, []), "PR" if reason == "96" else "CO"
    return None


_REMARKS = {
    "16": ["N264"],
    "50": ["N115"],
    "252": ["M127"],
    "4": ["N519"],
    "22": ["N4"],
    "B7": ["N570"],
    "96": ["N130"],
    "11": ["M76"],
}


def _authorization_fault(
    row: Received, facts: dict[str, Any], h: Habit, day: date
) -> tuple[str, list[str], str] | None:
    tables = reference_tables()
    # contrast and tracers (letter codes) come with the authorized exam
    needing = [
        x["code"]
        for x in facts["lines"]
        if x["code"][:1].isdigit()
        and ADVANCED.get(tables.modality(x["code"]) or "") in h.needs_auth
    ]
    if not needing or facts["pos"] in {"21", "23"}:
        return None
    if not facts["auth"]:
        return "197", [], "CO"
    grant = Grant.objects.filter(number=facts["auth"], payer=row.payer).first()
    if grant is None:
        return "197", ["M62"], "CO"
    if grant.valid_to and not (grant.valid_from or day) <= day <= grant.valid_to:
        return "302", [], "CO"
    covered = {c for c, _ in grant.codes}
    if not set(needing) <= covered and not {c[:4] for c in needing} <= {c[:4] for c in covered}:
        return "284", ["N54"], "CO"
    if set(needing) - covered and draw("update", facts["claim_id"]) < 500:
        return "284", ["N54"], "CO"
    return None


# --- on the phone ---------------------------------------------------------------------------------


def ask_about(trace: str, day: date) -> Grant | None:
    """What the payer's reviewer says about a pended case: the case with its decision as of the day
    in `action`.
    """
    grant = Grant.objects.filter(trace=trace).first()
    if grant is not None:
        grant.action = grant_now(grant, day)
    return grant


def peer_to_peer(trace: str, day: date) -> Grant | None:
    """A physician calls about a denied case: six of ten are granted after all. None when the denial
    stands.
    """
    grant = Grant.objects.filter(trace=trace).first()
    if grant is None or draw("peer", trace) >= 600:
        return None
    grant.action = grant.final_action = "A1"
    grant.number = (
        grant.number
        or f"{grant.payer[:2]}{day:%y}P{int(hashlib.sha256(trace.encode()).hexdigest()[:8], 16) % 10**7:07d}"
    )
    grant.codes = grant.codes or []
    grant.save(update_fields=["action", "final_action", "number"])
    return grant
