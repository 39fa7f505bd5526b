"""The simulator's mail room: receives 837 files, answers 270, 276 and 278 at once, and makes 999,
277CA and 835 when they are due.

Two calendars. A file dated in the past or by a replay (its ISA date is not today) is answered by
that calendar: the receiver polls with `as_of`. A live file is answered on the wall clock, a day
lasting `SIMULATOR_DAY_SECONDS`, so that a visitor sees his claim paid within minutes.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from rcm.accounts.clock import office_day
from rcm.simulator import payer as payers
from rcm.simulator.habits import draw, fate, habit
from rcm.simulator.models import Followup, Mail, Received
from rcm.x12 import (
    Document,
    Envelope,
    NotX12,
    acknowledge,
    read_270,
    read_276,
    read_278_requests,
    read_837,
    write_271,
    write_277,
    write_277ca,
    write_278_response,
    write_835,
    write_999,
)
from rcm.x12.model import (
    Adjustment,
    AuthorizationResponse,
    AuthorizationService,
    Benefit,
    Claim,
    ClaimPayment,
    ClaimStatus,
    DatePeriod,
    Decision,
    EligibilityResponse,
    Money,
    Party,
    Procedure,
    ProviderAdjustment,
    Reference,
    Rejection,
    Remittance,
    RemittanceHeader,
    RemittanceTrailer,
    ServicePayment,
    StatusCode,
    StatusInfo,
    Trace,
)

HOUSE = "CLRHOUSE"
DAY_SECONDS = int(os.environ.get("SIMULATOR_DAY_SECONDS", "20"))


def _isa_day(text: str) -> date:
    try:
        return datetime.strptime(text, "%y%m%d").date()  # noqa: DTZ007
    except ValueError:
        return office_day()


def _control() -> int:
    last = Mail.objects.order_by("-id").values_list("id", flat=True).first() or 0
    return last % 999_999_999 + 1


def _envelope(
    receiver: str, day: date, *, sender: str = HOUSE, control: int | None = None
) -> Envelope:
    return Envelope(
        sender=sender, receiver=receiver, control=control or _control(), date=day, time="0800"
    )


def _wall(days: int) -> datetime:
    return timezone.now() + timedelta(seconds=days * DAY_SECONDS)


# --- answers at once ------------------------------------------------------------------------------


def realtime(body: bytes) -> bytes:
    """The answer to a 270, 276 or 278. Raises NotX12 with a sentence for anything else."""
    document = Document(body)
    first = next(iter(document.sets()), None)
    if first is None:
        raise NotX12("The file holds no transaction set.")
    origin = first.origin
    day = _isa_day(origin.isa_date)
    envelope = _envelope(
        origin.sender, day, sender=origin.receiver or HOUSE, control=int(origin.isa13 or 1)
    )
    if origin.kind == "270":
        return write_271(envelope, [_eligibility(r, day) for r in read_270(body)]).data
    if origin.kind == "278":
        return write_278_response(
            envelope, [_authorization(r, day) for r in read_278_requests(body)]
        ).data
    if origin.kind == "276":
        return write_277(envelope, [_status(r, day) for r in read_276(body)]).data
    raise NotX12(
        f"A {origin.kind or origin.st01} is not answered here; send claims to the batch address."
    )


def _eligibility(request: Any, day: date) -> EligibilityResponse:
    payer, member = request.payer.id, request.subscriber.id
    h = habit(payer)
    state = payers.member_state(payer, member)
    common: dict[str, Any] = {
        "payer": request.payer,
        "provider": request.provider,
        "subscriber": request.subscriber,
        "dependent": request.dependent,
        "relationship": request.relationship,
        "traces": (Trace(request.trace, request.trace_origin or "9ISOCENTER", "2"),),
        "reference": request.reference,
    }
    if state == "unknown":
        reason = "75" if draw("aaa", member) % 2 else "72"
        return EligibilityResponse(
            **common, rejections=(Rejection(True, reason, "C", "subscriber"),)
        )
    service = request.date_from or day
    begin = date(service.year, 1, 1)
    dates = (DatePeriod("346", begin, begin),)
    if state == "inactive":
        return EligibilityResponse(
            **common,
            dates=dates,
            benefits=(Benefit("6", "IND", ("30",), plan=f"{request.payer.name} plan"[:50]),),
        )
    types = tuple(request.service_types) or ("30",)
    left = payers.deductible_left(payer, member)
    auth = "Y" if h.needs_auth and "62" in types else ("N" if "62" in types else "")
    found = [
        Benefit(
            "1",
            "IND",
            ("30",),
            insurance_type="MB" if h.medicare else "C1",
            plan=f"{request.payer.name} plan"[:50],
        ),
        Benefit("1", "IND", types, authorization=auth, in_network="Y"),
    ]
    if h.deductible:
        found += [
            Benefit("C", "IND", ("30",), time_period="23", amount=h.deductible, in_network="Y"),
            Benefit("C", "IND", ("30",), time_period="29", amount=left, in_network="Y"),
        ]
    if h.coinsurance:
        found.append(
            Benefit("A", "IND", types, time_period="27", percent=h.coinsurance, in_network="Y")
        )
    if h.copay:
        found.append(Benefit("B", "IND", types, time_period="27", amount=h.copay, in_network="Y"))
    found.append(
        Benefit("G", "IND", ("30",), time_period="29", amount=Decimal("4000.00"), in_network="Y")
    )
    return EligibilityResponse(**common, dates=dates, benefits=tuple(found))


def _authorization(request: Any, day: date) -> AuthorizationResponse:
    codes = [(s.procedure.code, int(s.units)) for s in request.services]
    grant = payers.decide_request(
        request.payer.id, request.subscriber.id, request.trace, codes, day
    )
    action = payers.grant_now(grant, day)
    granted = dict((c, u) for c, u in grant.codes)
    open_ = action in {"A1", "A2", "A6"}
    services = tuple(
        AuthorizationService(
            s.procedure,
            Decimal(granted.get(s.procedure.code, 0) or s.units),
            trace=s.trace,
            decision=Decision(
                action if s.procedure.code in granted or not open_ else "A3",
                grant.number if open_ else "",
            ),
        )
        for s in request.services
    )
    return AuthorizationResponse(
        payer=request.payer,
        provider=request.provider,
        subscriber=request.subscriber,
        dependent=request.dependent,
        trace=request.trace,
        traces=(Trace(request.trace, request.trace_origin or "9ISOCENTER", "2"),),
        category=request.category,
        certification=request.certification,
        service_type=request.service_type,
        decision=Decision(action, grant.number if open_ else "", ("36",) if action == "A3" else ()),
        valid_from=grant.valid_from if open_ else None,
        valid_to=grant.valid_to if open_ else None,
        issued=day if open_ else None,
        services=services,
        messages=("Does not meet criteria; peer-to-peer available",) if action == "A3" else (),
        reference=request.reference,
    )


def _status(request: Any, day: date) -> ClaimStatus:
    row = (
        Received.objects.filter(Q(claim_id=request.claim_id) | Q(icn=request.payer_control or "-"))
        .order_by("-id")
        .first()
    )
    code = StatusCode("A4", "35")
    paid = check = None
    if row is not None and row.rejected:
        parts = row.rejected.split(":")
        code = StatusCode(*parts[:2])
    elif row is not None and row.paid:
        code = StatusCode(
            "F2" if row.decision.get("status") == "4" else "F1",
            "1" if row.decision.get("status") != "4" else "585",
        )
        paid, check = Decimal(row.decision.get("paid", "0")), row.pay_on
    elif row is not None:
        code = StatusCode("P1", "20")
    info = StatusInfo((code,), effective=day, charge=request.charge, paid=paid, check_date=check)
    return ClaimStatus(
        level="claim",
        trace=request.trace,
        statuses=(info,),
        payer=request.payer,
        receiver=request.receiver,
        provider=request.provider,
        subscriber=request.subscriber,
        claim_id=request.claim_id,
        payer_control=row.icn if row else "",
        service_from=request.service_from,
        service_to=request.service_to,
        reference=request.reference,
    )


# --- claims in ------------------------------------------------------------------------------------


@transaction.atomic
def receive(body: bytes) -> int:
    """Take an 837 file in: each claim gets a number and its days. The 999 goes to the mailbox.
    Returns the number of claims.
    """
    claims = list(read_837(body))
    if not claims:
        raise NotX12("The file holds no claim.")
    origin = claims[0].origin
    day = _isa_day(origin.isa_date)
    Mail.objects.create(
        receiver=origin.sender,
        kind="999",
        content=write_999(_envelope(origin.sender, day), acknowledge(body)).data,
        dated=day,
    )
    with connection.cursor() as cursor:
        # one file after the other: the payers' numbers go on from the last one
        cursor.execute("SELECT pg_advisory_xact_lock(83700)")
    before = Received.objects.order_by("-id").values_list("id", flat=True).first() or 0
    rows = [_taken(claim, day, before + n) for n, claim in enumerate(claims, 1)]
    Received.objects.bulk_create(rows, batch_size=1000)
    decided = []
    for row in Received.objects.filter(pk__gt=before, receiver=origin.sender).order_by("pk"):
        if not row.rejected:
            row.decision = payers.adjudicate(row)
            decided.append(row)
    Received.objects.bulk_update(decided, ["decision"], batch_size=500)
    return len(rows)


def holds_papers(body: bytes) -> bool:
    """Whether the file's first set is a 275."""
    first = next(iter(Document(body).sets()), None)
    return first is not None and first.origin.st01 == "275"


@transaction.atomic
def papers(body: bytes) -> int:
    """Take papers in (275): a claim that was denied for lack of them is paid ten days later. The 999
    goes to the mailbox. Returns the number of claims that were known.
    """
    known = 0
    origin: Any = None
    for current in Document(body).sets():
        origin = current.origin
        numbers = {s[1]: s[2] for s in current if s[0] == "REF" and len(s) > 2}
        row = Received.objects.filter(icn=numbers.get("1K", ""), paid=True).first()
        day = _isa_day(origin.isa_date)
        if row is None:
            continue
        known += 1
        if row.decision.get("status") == "4":
            Followup.objects.get_or_create(
                claim=row,
                kind="overturn",
                defaults={"due_on": day + timedelta(days=10), "due_live": _wall(10)},
            )
    day = _isa_day(origin.isa_date)
    Mail.objects.create(
        receiver=origin.sender,
        kind="999",
        content=write_999(_envelope(origin.sender, day), acknowledge(body)).data,
        dated=day,
    )
    return known


def _taken(claim: Claim, day: date, number: int) -> Received:
    facts = payers.facts_of(claim)
    h = habit(facts["payer"])
    pay_days = h.pay_days + (0 if fate(facts["member_id"]) else draw("slow", facts["claim_id"]) % 5)
    return Received(
        receiver=claim.origin.sender,
        control=claim.origin.isa13,
        group_control=claim.origin.gs06,
        claim_id=facts["claim_id"],
        icn=f"{day:%y%j}{number:08d}",
        payer=facts["payer"],
        facts=facts,
        fingerprint=payers.fingerprint(facts),
        frequency=facts["frequency"],
        received_on=day,
        rejected=payers.reject_reason(facts, day),
        acknowledge_on=day + timedelta(days=h.ack_days),
        acknowledge_live=_wall(h.ack_days),
        pay_on=day + timedelta(days=pay_days),
        pay_live=_wall(pay_days),
    )


def appeal(icn: str, day: date) -> bool:
    """An appeal of a denied claim came by mail: half of them are overturned and paid ten days
    later.
    """
    row = Received.objects.filter(icn=icn, paid=True).first()
    if row is None or row.decision.get("status") != "4":
        return False
    if draw("appeal", icn) >= 550 and not fate(row.facts["member_id"]):
        return False
    Followup.objects.get_or_create(
        claim=row,
        kind="overturn",
        defaults={"due_on": day + timedelta(days=10), "due_live": _wall(10)},
    )
    return True


# --- mail out -------------------------------------------------------------------------------------


@transaction.atomic
def fill(receiver: str, as_of: date | None) -> None:
    """Make the 277CA and 835 files of a receiver that are due: by the calendar day `as_of`, or by
    the wall clock.
    """
    day = as_of or office_day()
    due_ack = Q(acknowledge_on__lte=as_of) if as_of else Q(acknowledge_live__lte=timezone.now())
    due_pay = Q(pay_on__lte=as_of) if as_of else Q(pay_live__lte=timezone.now())
    late = Q(due_on__lte=as_of) if as_of else Q(due_live__lte=timezone.now())
    mine = Received.objects.filter(receiver=receiver).select_for_update(skip_locked=True)
    waiting = list(mine.filter(due_ack, acknowledged=False).order_by("pk"))
    by_file: dict[tuple[str, str], list[Received]] = defaultdict(list)
    for row in waiting:
        by_file[(row.control, row.payer)].append(row)
    for rows in by_file.values():
        _mail(
            receiver,
            "277CA",
            write_277ca(
                _envelope(receiver, day), _acknowledged(rows, day), batch_trace=rows[0].control
            ).data,
            day,
        )
    Received.objects.filter(pk__in=[r.pk for r in waiting]).update(acknowledged=True)
    ready = list(mine.filter(due_pay, paid=False, rejected="", acknowledged=True).order_by("pk"))
    more = list(
        Followup.objects.filter(late, done=False, claim__receiver=receiver)
        .select_related("claim")
        .order_by("pk")
    )
    by_payer: dict[tuple[str, str], tuple[list[Received], list[Followup]]] = defaultdict(
        lambda: ([], [])
    )
    for row in ready:
        by_payer[(row.payer, row.facts["billing"]["npi"])][0].append(row)
    for item in more:
        by_payer[(item.claim.payer, item.claim.facts["billing"]["npi"])][1].append(item)
    for rows_, items in by_payer.values():
        remittance = _remittance(rows_, items, day)
        _mail(
            receiver,
            "835",
            write_835(
                _envelope(receiver, day, sender=(rows_ or [items[0].claim])[0].payer), [remittance]
            ).data,
            day,
        )
    Received.objects.filter(pk__in=[r.pk for r in ready]).update(paid=True)
    Followup.objects.filter(pk__in=[i.pk for i in more]).update(done=True)
    _plan_followups(ready, day)


def _mail(receiver: str, kind: str, content: bytes, day: date) -> None:
    Mail.objects.create(receiver=receiver, kind=kind, content=content, dated=day)


def _plan_followups(rows: Iterable[Received], day: date) -> None:
    """Some paid claims are taken back or corrected later."""
    out = []
    for row in rows:
        if (
            row.decision.get("status") != "1"
            or Decimal(row.decision.get("paid", "0")) < 40
            or row.frequency != "1"
            or fate(row.facts["member_id"])
        ):
            continue
        h, number = habit(row.payer), draw("later", row.claim_id)
        kind = (
            "takeback"
            if number < h.takeback
            else ("correct" if number < h.takeback + h.correct else "")
        )
        if kind:
            out.append(
                Followup(claim=row, kind=kind, due_on=day + timedelta(days=25), due_live=_wall(25))
            )
    Followup.objects.bulk_create(out)


def _party(entity: str, name: str, code: str, qualifier: str) -> Party:
    return Party(entity=entity, name=name, id_qualifier=qualifier, id=code)


def _acknowledged(rows: list[Received], day: date) -> list[ClaimStatus]:
    facts = rows[0].facts
    payer = _party("PR", facts["payer_name"], rows[0].payer, "PI")
    receiver = _party("41", facts["billing"]["name"], rows[0].receiver, "46")
    provider = _party("85", facts["billing"]["name"], facts["billing"]["npi"], "XX")
    top: dict[str, Any] = {"payer": payer, "receiver": receiver, "provider": provider}
    out = []
    for row in rows:
        f = row.facts
        if row.rejected:
            codes = (StatusCode(*row.rejected.split(":")),)
            status = StatusInfo(codes, effective=day, action="U", charge=Decimal(f["charge"]))
        else:
            status = StatusInfo(
                (StatusCode("A2", "20", "PR"),),
                effective=day,
                action="WQ",
                charge=Decimal(f["charge"]),
            )
        first = date.fromisoformat(f["lines"][0]["day"])
        out.append(
            ClaimStatus(
                level="claim",
                trace=row.claim_id,
                statuses=(status,),
                subscriber=Party(
                    entity="QC",
                    name=f["patient"]["last"],
                    first=f["patient"]["first"],
                    person=True,
                    id_qualifier="MI",
                    id=f["member_id"],
                ),
                claim_id=row.claim_id,
                payer_control="" if row.rejected else row.icn,
                service_from=first,
                service_to=first,
                **top,
            )
        )
    return out


def _services(row: Received, decision: dict[str, Any], sign: int = 1) -> tuple[ServicePayment, ...]:
    out = []
    for x, d in zip(row.facts["lines"], decision["lines"], strict=True):
        allowed = (Money("B6", Decimal(d["allowed"])),) if "allowed" in d and sign > 0 else ()
        out.append(
            ServicePayment(
                procedure=Procedure(x["code"], tuple(x["mods"])),
                charge=Decimal(x["charge"]) * sign,
                paid=Decimal(d["paid"]) * sign,
                units=Decimal(x["units"]) * sign,
                service_date=date.fromisoformat(x["day"]),
                adjustments=tuple(Adjustment(g, r, Decimal(a) * sign) for g, r, a in d["cas"]),
                line_control=x["control"],
                amounts=allowed,
                remarks=tuple(d["remarks"]),
            )
        )
    return tuple(out)


def _payment(
    row: Received,
    decision: dict[str, Any],
    *,
    sign: int = 1,
    status: str = "",
    icn: str = "",
    refs: tuple[Reference, ...] = (),
) -> ClaimPayment:
    f = row.facts
    return ClaimPayment(
        claim_id=row.claim_id,
        status=status or decision["status"],
        charge=Decimal(f["charge"]) * sign,
        paid=Decimal(decision["paid"]) * sign,
        patient_responsibility=Decimal(decision["patient"]) * sign,
        filing_code=f["filing_code"],
        payer_control=icn or row.icn,
        pos=f["pos"],
        frequency=f["frequency"],
        patient=Party(
            entity="QC",
            name=f["patient"]["last"],
            first=f["patient"]["first"],
            person=True,
            id_qualifier="MI",
            id=f["member_id"],
        ),
        received=row.received_on,
        refs=refs,
        services=_services(row, decision, sign),
    )


def _remittance(rows: list[Received], items: list[Followup], day: date) -> Remittance:
    """One check: new claims, corrections as reversal and claim, takebacks as PLB, interest on what
    was slow.
    """
    first = (rows or [items[0].claim])[0]
    f = first.facts
    claims: list[ClaimPayment] = []
    plb: list[ProviderAdjustment] = []
    npi, year_end = f["billing"]["npi"], date(day.year, 12, 31)
    for row in rows:
        if row.decision.get("void") or row.frequency == "7":
            claims.extend(_undo(row))
            if row.decision.get("void"):
                continue
        claims.append(
            _payment(
                row,
                row.decision,
                refs=(Reference("F8", row.facts["f8"]),) if row.facts["f8"] else (),
            )
        )
        paid = Decimal(row.decision["paid"])
        if (day - row.received_on).days > 44 and paid > 200:
            plb.append(
                ProviderAdjustment(
                    npi, year_end, "L6", row.icn, -payers.cents(paid * Decimal("0.005"))
                )
            )
    for item in items:
        row = item.claim
        if item.kind == "takeback":
            plb.append(
                ProviderAdjustment(
                    npi, year_end, "WO", row.icn, payers.cents(Decimal(row.decision["paid"]) / 2)
                )
            )
            continue
        if item.kind == "overturn":
            row.decision["overturned"] = True
            fresh = payers.adjudicate(row) | {"overturned": True}
        else:
            fresh = _lower(row)
        claims.append(_payment(row, row.decision, sign=-1, status="22"))
        claims.append(_payment(row, fresh, icn=f"{row.icn}A", refs=(Reference("F8", row.icn),)))
        row.decision = fresh
        row.save(update_fields=["decision"])
    total = sum((c.paid for c in claims), Decimal(0))
    taken = sum((p.amount for p in plb), Decimal(0))
    if total - taken < 0:
        # a check is never negative: the rest is carried to a later one
        plb.append(ProviderAdjustment(npi, year_end, "FB", f"FB{day:%y%m%d}", total - taken))
        taken = total
    header = RemittanceHeader(
        amount=total - taken,
        method="ACH" if total - taken else "NON",
        format="CCP" if total - taken else "",
        payment_date=day,
        payer_account=("01", "011000015", "DA", "000100200"),
        originator="1512345678",
        payee_account=("01", "071000013", "DA", "9988"),
        trace=f"{first.payer[:5]}{day:%y%m%d}{first.pk:06d}",
        trace_payer="1512345678",
        production_date=day,
        payer=Party(
            entity="PR", name=f["payer_name"], contacts=(), refs=(Reference("2U", first.payer),)
        ),
        payee=Party(
            entity="PE",
            name=f["billing"]["name"],
            id_qualifier="XX",
            id=npi,
            refs=(Reference("TJ", f["billing"]["tin"]),),
        ),
    )
    return Remittance(header, tuple(claims), RemittanceTrailer(provider_adjustments=tuple(plb)))


def _undo(row: Received) -> list[ClaimPayment]:
    """The reversal of what a replaced or voided claim had been given."""
    old = Received.objects.filter(icn=row.facts["f8"], paid=True).first()
    if old is None or old.decision.get("void"):
        return []
    return [_payment(old, old.decision, sign=-1, status="22")]


def _lower(row: Received) -> dict[str, Any]:
    """The same claim with the first paid line allowed ten percent lower: the payer corrects
    itself.
    """
    fresh: dict[str, Any] = {
        **row.decision,
        "lines": [
            {**line, "cas": [list(c) for c in line["cas"]]} for line in row.decision["lines"]
        ],
    }
    for line in fresh["lines"]:
        paid = Decimal(line["paid"])
        if paid > 10:
            cut = payers.cents(paid / 10)
            line["paid"] = str(paid - cut)
            found = next((c for c in line["cas"] if c[:2] == ["CO", "45"]), None)
            if found:
                found[2] = str(Decimal(found[2]) + cut)
            else:
                line["cas"].append(["CO", "45", str(cut)])
            if "allowed" in line:
                line["allowed"] = str(Decimal(line["allowed"]) - cut)
            fresh["paid"] = str(Decimal(fresh["paid"]) - cut)
            break
    return fresh
