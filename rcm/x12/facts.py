"""The facts of a file as plain JSON values: counts, totals, balance, verdicts. Used by ``manage.py
x12`` and by tests.

Memory stays flat: of long sets the sums are of everything, while listings (claims, imbalances,
findings) are cut at a length that is stated beside them.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, cast

from rcm.x12 import values
from rcm.x12.document import Document, Segment, Source, TransactionSet
from rcm.x12.model import ZERO, ClaimPayment, Finding, NotX12, RemittanceHeader, RemittanceTrailer
from rcm.x12.readers import acknowledgement, authorization, claim, eligibility, remittance, status
from rcm.x12.readers.common import at
from rcm.x12.values import cents

MOST_CLAIMS = 60
MOST_SENT_CLAIMS = 20
MOST_LISTED = 5_000
Facts = dict[str, Any]


class _Watched:
    """A transaction set whose segments are also shown to ``see`` on their way to the reader."""

    __slots__ = ("_see", "_set")

    def __init__(self, current: TransactionSet, see: Callable[[Segment], None]) -> None:
        self._set = current
        self._see = see

    def __getattr__(self, name: str) -> Any:
        return getattr(self._set, name)

    def __iter__(self) -> Iterator[Segment]:
        see = self._see
        for segment in self._set:
            see(segment)
            yield segment


def watched(current: TransactionSet, see: Callable[[Segment], None]) -> TransactionSet:
    return cast(TransactionSet, _Watched(current, see))


def describe(source: Source, name: str = "") -> Facts:
    """Everything ``manage.py x12 --json`` prints about one file. Never raises on what is in the
    file.

    A file that is no X12 has ``kind`` None and one finding that says what it is instead.
    """
    found: list[Finding] = []
    facts: Facts = {
        "file": name or (os.fspath(source) if isinstance(source, (str, os.PathLike)) else ""),
        "kind": None,
        "n_interchanges": 0,
        "n_segments": 0,
        "n_transactions": 0,
        "envelope": [],
        "envelope_errors": [],
        "ta1": [],
        "findings": [],
        "transactions": [],
    }
    kinds: dict[str, None] = {}
    document = Document(source)
    try:
        for current in document.sets():
            one, kind = _describe_set(current, found)
            kinds[kind] = None
            facts["transactions"].append(one)
    except NotX12 as refusal:
        if not document.n_transactions:
            facts["findings"] = [_finding(Finding("not-x12", "error", "file", str(refusal)))]
            return facts
        found.append(Finding("not-x12", "error", "file", str(refusal), document.position))
    if document.ta1 and not kinds:
        kinds["TA1"] = None
    for position, segment in document.ta1:
        ack = acknowledgement.interchange_acknowledgement(segment, position)
        if ack.code not in ("A", "E"):
            found.append(
                Finding(
                    "interchange-rejected",
                    "warning",
                    f"interchange {ack.control}",
                    f"The receiver rejected interchange {ack.control} (note {ack.note}).",
                    position,
                )
            )
    if not document.n_transactions and not document.ta1:
        found.append(
            Finding(
                "no-transactions", "error", "file", "The file is X12 but holds no transaction set."
            )
        )
    facts["kind"] = "+".join(kinds) or "X12"
    facts["n_interchanges"] = max(document.n_interchanges, len(document.interchanges))
    facts["n_segments"] = document.position
    facts["n_transactions"] = document.n_transactions
    facts["envelope"] = [interchange.as_facts() for interchange in document.interchanges]
    facts["envelope_errors"] = document.envelope_errors
    facts["ta1"] = [segment[1:] for _, segment in document.ta1]
    facts["findings"] = [_finding(item) for item in [*document.findings, *found][: 2 * MOST_LISTED]]
    return facts


def _finding(item: Finding) -> Facts:
    facts: Facts = {
        "code": item.code,
        "level": item.level,
        "where": item.where,
        "message": item.message,
    }
    if item.position:
        facts["segment"] = item.position
    if item.todo:
        facts["todo"] = item.todo
    return facts


def _describe_set(current: TransactionSet, found: list[Finding]) -> tuple[Facts, str]:
    """The facts of one set, and its kind (an 837 shows only in its lines whether it is
    institutional).
    """
    origin = current.origin
    kind = origin.kind or "unknown"
    describe_kind = _BY_KIND.get(origin.st01)
    head: Facts = {
        "st01": origin.st01,
        "st02": origin.st02,
        "st03": current.st03,
        "gs08": current.gs08,
        "kind": kind,
    }
    if origin.refusal:
        head["refused"] = origin.refusal
    if describe_kind is None:
        for _ in current:
            pass
        return head, kind
    body = describe_kind(current, found)
    kind = body.pop("_kind", kind)
    head["kind"] = kind
    return {**head, **body}, kind


def _keep(found: list[Finding], items: tuple[Finding, ...]) -> None:
    if len(found) < MOST_LISTED:
        found.extend(items)


# --- 835 ------------------------------------------------------------------------------------------


def _835(current: TransactionSet, found: list[Finding]) -> Facts:
    codes: list[str] = []
    bpr: list[str] = []
    produced: list[str] = []
    n_claims = 0

    def see(segment: Segment) -> None:
        nonlocal n_claims
        tag = segment[0]
        if tag == "SVC" and n_claims:
            codes.append(at(segment, 1))
        elif tag == "CLP":
            n_claims += 1
        elif tag == "BPR" and not bpr:
            bpr.extend(segment)
        elif tag == "DTM" and not n_claims and not produced and at(segment, 1) == "405":
            produced.append(at(segment, 2))

    facts: Facts = {}
    claim_groups: dict[str, Decimal] = {}
    line_groups: dict[str, Decimal] = {}
    reasons: dict[str, Decimal] = {}
    statuses: Counter[str] = Counter()
    n_reasons = n_zero = 0
    line_imbalances: list[Facts] = []
    claim_imbalances: list[Facts] = []
    patient_differs: list[Facts] = []
    charge_differs: list[Facts] = []
    claims: list[Facts] = []
    for part in remittance.read_set(watched(current, see)):
        _keep(found, part.findings)
        if isinstance(part, RemittanceHeader):
            facts.update(
                bpr01=part.handling,
                bpr02=cents(values.number(at(bpr, 2)) or ZERO),
                bpr03=at(bpr, 3),
                bpr04=part.method,
                bpr16=at(bpr, 16),
                trn02=part.trace,
                trn03=part.trace_payer,
                production_date=produced[0] if produced else "",
                payer_name=part.payer.name,
                payee_name=part.payee.name,
                payee_id_qual=part.payee.id_qualifier,
                payee_id=part.payee.id,
            )
        elif isinstance(part, ClaimPayment):
            statuses[part.status] += 1
            n_zero += not part.paid
            patient = charges = ZERO
            own = codes[: len(part.services)]
            del codes[: len(part.services)]
            for adjustment in part.adjustments:
                _add(claim_groups, adjustment.group, adjustment.amount)
                _add(reasons, f"{adjustment.group}-{adjustment.reason}", adjustment.amount)
                n_reasons += 1
                if adjustment.group == "PR":
                    patient += adjustment.amount
            for number, line in enumerate(part.services):
                charges += line.charge
                for adjustment in line.adjustments:
                    _add(line_groups, adjustment.group, adjustment.amount)
                    _add(reasons, f"{adjustment.group}-{adjustment.reason}", adjustment.amount)
                    n_reasons += 1
                    if adjustment.group == "PR":
                        patient += adjustment.amount
                if line.delta and len(line_imbalances) < MOST_LISTED:
                    line_imbalances.append(
                        {
                            "claim": part.index,
                            "line": number,
                            "clp01": part.claim_id,
                            "proc": own[number] if number < len(own) else line.procedure.code,
                            "delta": cents(line.delta),
                        }
                    )
            if part.delta and len(claim_imbalances) < MOST_LISTED:
                claim_imbalances.append(
                    {"claim": part.index, "clp01": part.claim_id, "delta": cents(part.delta)}
                )
            if patient != part.patient_responsibility and len(patient_differs) < MOST_LISTED:
                patient_differs.append(
                    {
                        "claim": part.index,
                        "clp01": part.claim_id,
                        "clp05": cents(part.patient_responsibility),
                        "sum_pr": cents(patient),
                    }
                )
            if part.services and charges != part.charge and len(charge_differs) < MOST_LISTED:
                charge_differs.append(
                    {
                        "claim": part.index,
                        "clp01": part.claim_id,
                        "clp03": cents(part.charge),
                        "sum_svc02": cents(charges),
                    }
                )
            if part.index < MOST_CLAIMS:
                claims.append(_claim_payment(part, own))
        else:
            _trailer_facts(facts, part)
    facts.update(
        claim_status=dict(statuses),
        n_zero_paid_claims=n_zero,
        n_cas_reasons=n_reasons,
        cas_claim_level_by_group={
            group: cents(total) for group, total in sorted(claim_groups.items())
        },
        cas_line_level_by_group={
            group: cents(total) for group, total in sorted(line_groups.items())
        },
        cas_by_reason={reason: cents(total) for reason, total in sorted(reasons.items())},
        line_imbalances=line_imbalances,
        claim_imbalances=claim_imbalances,
        info_clp05_ne_sum_PR=patient_differs,
        info_clp03_ne_sum_svc02=charge_differs,
        claims=claims,
    )
    if facts["n_claims"] > MOST_CLAIMS:
        facts["claims_truncated_to"] = MOST_CLAIMS
    return facts


def _add(sums: dict[str, Decimal], key: str, amount: Decimal) -> None:
    sums[key] = sums.get(key, ZERO) + amount


def _claim_payment(part: ClaimPayment, codes: list[str]) -> Facts:
    return {
        "clp01": part.claim_id,
        "status": part.status,
        "charge": cents(part.charge),
        "paid": cents(part.paid),
        "patient_resp": cents(part.patient_responsibility),
        "filing": part.filing_code,
        "payer_ctrl": part.payer_control,
        "n_svc": len(part.services),
        "claim_cas": _cas(part.adjustments),
        "lines": [
            {
                "proc": code,
                "charge": cents(line.charge),
                "paid": cents(line.paid),
                "cas": _cas(line.adjustments),
            }
            for line, code in zip(part.services, codes, strict=False)
        ],
    }


def _cas(adjustments: Any) -> list[list[str]]:
    return [
        [item.group, item.reason, cents(item.amount), values.money_text(item.quantity)]
        for item in adjustments
    ]


def _trailer_facts(facts: Facts, part: RemittanceTrailer) -> None:
    facts.update(
        n_claims=part.n_claims,
        n_service_lines=part.n_services,
        n_reversals_clp02_22=part.n_reversals,
        sum_clp03=cents(part.sum_charge),
        sum_clp04=cents(part.sum_paid),
        sum_clp05=cents(part.sum_patient),
        sum_svc02=cents(part.sum_service_charge),
        sum_svc03=cents(part.sum_service_paid),
        plb=[
            {
                "provider": item.provider_id,
                "fy": values.day_text(item.fiscal_date),
                "reason": item.reason,
                "ref": item.reference,
                "amount": cents(item.amount),
            }
            for item in part.provider_adjustments[:MOST_LISTED]
        ],
        sum_plb=cents(part.sum_provider_adjustments),
        transaction_delta_clp04_minus_plb_minus_bpr02=cents(part.delta),
        balanced_lines=part.balanced_lines,
        balanced_claims=part.balanced_claims,
        balanced_transaction=part.balanced_transaction,
        balanced=part.balanced_lines and part.balanced_claims and part.balanced_transaction,
        readable=part.readable,
    )


# --- 837 ------------------------------------------------------------------------------------------


class _ClaimTap:
    """Counts of an 837 that its claims do not carry: levels, NPIs, codes as they were written."""

    def __init__(self) -> None:
        self.bht: Segment = []
        self.levels: Counter[str] = Counter()
        self.numbers: set[str] = set()
        self.n_levels = 0
        self.out_of_order = False
        self.orphans: list[str] = []
        self.good: set[str] = set()
        self.bad: set[str] = set()
        self.with_other_payer = 0
        self.claims: list[Facts] = []
        self.claim: Facts | None = None
        self.in_lines = False
        self.other_seen = False
        self.n_claims = 0
        self.institutional = False
        self.mark = ":"

    def __call__(self, segment: Segment) -> None:
        tag = segment[0]
        if tag == "HL":
            self.level(segment)
        elif tag == "NM1":
            if at(segment, 8) == "XX" and at(segment, 9):
                npi = at(segment, 9)
                names = self.good if values.npi_is_valid(npi) else self.bad
                if len(names) < MOST_LISTED:
                    names.add(npi)
        elif tag == "BHT":
            self.bht = segment
        elif tag == "CLM":
            self.start_claim(segment)
        elif tag == "LX":
            self.in_lines = True
        elif tag in ("SV1", "SV2", "SV3"):
            self.institutional |= tag == "SV2"
            if self.claim is not None:
                code, charge = (
                    (at(segment, 1), at(segment, 2))
                    if tag != "SV2"
                    else (at(segment, 2) or at(segment, 1), at(segment, 3))
                )
                self.claim["lines"].append([code, cents(values.money(charge) or ZERO)])
        elif tag == "SBR":
            if self.n_claims and not self.in_lines and not self.other_seen and self.open:
                self.other_seen = True
                self.with_other_payer += 1
        elif self.claim is not None and not self.in_lines:
            if tag == "HI":
                codes = self.claim["dx"]
                codes.extend([text for text in segment[1:] if text][: 12 - len(codes)])
            elif tag == "REF":
                self.claim["refs"].setdefault(at(segment, 1), at(segment, 2))

    open = False

    def level(self, segment: Segment) -> None:
        self.open = False
        self.n_levels += 1
        number, parent = at(segment, 1), at(segment, 2)
        self.levels[at(segment, 3)] += 1
        if number != str(self.n_levels):
            self.out_of_order = True
        if parent and parent not in self.numbers and len(self.orphans) < MOST_LISTED:
            self.orphans.append(f"HL {number} parent {parent} unknown")
        if len(self.numbers) < 1_000_000:
            self.numbers.add(number)

    def start_claim(self, segment: Segment) -> None:
        self.n_claims += 1
        self.open = True
        self.in_lines = self.other_seen = False
        self.claim = None
        if self.n_claims <= MOST_SENT_CLAIMS:
            place = at(segment, 5).split(self.mark)
            self.claim = {
                "clm01": at(segment, 1),
                "amount": cents(values.money(at(segment, 2)) or ZERO),
                "pos": place[0],
                "freq": place[2] if len(place) > 2 else "",
                "dx": [],
                "refs": {},
                "lines": [],
            }
            self.claims.append(self.claim)

    def hierarchy_errors(self) -> list[str]:
        return (["HL01 not sequential from 1"] if self.out_of_order else []) + self.orphans


def _837(current: TransactionSet, found: list[Finding]) -> Facts:
    tap = _ClaimTap()
    tap.mark = current.delimiters.component
    n_claims = n_lines = n_differ = 0
    total = ZERO
    differ: list[Facts] = []
    for item in claim.read_set(watched(current, tap)):
        _keep(found, item.findings)
        n_claims += 1
        n_lines += len(item.lines)
        total += item.charge
        lines = item.line_total
        if lines != item.charge:
            n_differ += 1
            if len(differ) < MOST_LISTED:
                differ.append(
                    {"clm01": item.claim_id, "clm02": cents(item.charge), "sum_lines": cents(lines)}
                )
    facts: Facts = {
        "bht02": at(tap.bht, 2),
        "bht03": at(tap.bht, 3),
        "bht06": at(tap.bht, 6),
        "n_claims": n_claims,
        "n_service_lines": n_lines,
        "sum_clm02": cents(total),
        "hl_levels": dict(tap.levels),
        "hl_errors": tap.hierarchy_errors(),
        "clm02_ne_sum_lines": differ,
        "n_clm02_ne_sum_lines": n_differ,
        "npis_failing_luhn": sorted(tap.bad),
        "npis_ok": sorted(tap.good),
        "claims_with_other_payer_sbr": tap.with_other_payer,
        "claims": tap.claims,
    }
    if n_claims > MOST_SENT_CLAIMS:
        facts["claims_truncated_to"] = MOST_SENT_CLAIMS
    if tap.institutional:
        facts["_kind"] = "837I"
    if not n_claims:
        found.append(
            Finding("no-claims", "warning", f"ST {current.origin.st02}", "The set holds no claim.")
        )
    return facts


# --- the others: what stood on the wire, beside what the reader made of it ------------------------


class _Wire:
    """Segments of the named ids as lists of elements, and how often each id occurred."""

    def __init__(self, *names: str) -> None:
        self.counts: Counter[str] = Counter(("ST", "SE"))
        self.rows: dict[str, list[list[str]]] = {name: [] for name in names}

    def __call__(self, segment: Segment) -> None:
        tag = segment[0]
        if len(self.counts) < 1000 or tag in self.counts:
            self.counts[tag] += 1
        rows = self.rows.get(tag)
        if rows is not None and len(rows) < 10 * MOST_LISTED:
            rows.append(segment[1:])

    def facts(self, current: TransactionSet) -> Facts:
        counts = self.counts
        if current.cut_off:
            del counts["SE"]
        return {
            "n_segments": sum(counts.values()),
            "segment_counts": dict(sorted(counts.items())),
            "bht": (self.rows.get("BHT") or [[]])[0],
            "hl": self.rows.get("HL", []),
        }

    def listed(self, *names: str) -> Facts:
        return {name.lower(): self.rows[name] for name in names if self.rows[name]}


def _270(current: TransactionSet, found: list[Finding]) -> Facts:
    wire = _Wire("BHT", "HL", "EQ", "TRN")
    n = 0
    for item in eligibility.read_270_set(watched(current, wire)):
        _keep(found, item.findings)
        n += 1
    return {**wire.facts(current), "eq": wire.rows["EQ"], "trn": wire.rows["TRN"], "n_inquiries": n}


def _271(current: TransactionSet, found: list[Finding]) -> Facts:
    wire = _Wire("BHT", "HL", "EB", "AAA", "TRN")
    people = 0
    for item in eligibility.read_271_set(watched(current, wire)):
        _keep(found, item.findings)
        people += 1
    codes = Counter(at(row, 0) for row in wire.rows["EB"])
    return {
        **wire.facts(current),
        "n_answers": people,
        "n_eb": len(wire.rows["EB"]),
        "eb01": dict(codes),
        "eb": wire.rows["EB"],
        "aaa": wire.rows["AAA"],
        "trn": wire.rows["TRN"],
        "active_coverage": any(code in codes for code in ("1", "2", "3", "4", "5")),
    }


def _277(current: TransactionSet, found: list[Finding]) -> Facts:
    wire = _Wire("BHT", "HL", "QTY", "AMT", "STC")
    traces: list[Facts] = []
    component = current.delimiters.component
    now: Facts | None = None
    with_line = False

    def see(segment: Segment) -> None:
        nonlocal now, with_line
        wire(segment)
        tag = segment[0]
        if tag == "TRN":
            now = {"trn01": at(segment, 1), "trn02": at(segment, 2), "stc": [], "amt": []}
            with_line = False
            if len(traces) < MOST_LISTED:
                traces.append(now)
        elif tag == "HL":
            now = None
        elif tag == "SVC":
            with_line = True
        elif tag == "STC" and now is not None and not with_line:
            now["stc"].append(
                {
                    "code": at(segment, 1).split(component),
                    "date": at(segment, 2),
                    "action": at(segment, 3),
                    "charge": at(segment, 4),
                    "paid": at(segment, 5),
                }
            )

    categories: list[list[Any]] = []
    for item in status.read_277_set(watched(current, see)):
        _keep(found, item.findings)
        if item.level == "claim" and len(categories) < MOST_LISTED:
            categories.append([item.trace, sorted(set(item.categories))])
    facts = {
        **wire.facts(current),
        "traces": traces,
        "qty": wire.rows["QTY"],
        "amt": wire.rows["AMT"],
    }
    if current.origin.kind == "277CA":
        facts["claim_level_categories"] = categories
    return facts


def _276(current: TransactionSet, found: list[Finding]) -> Facts:
    wire = _Wire("BHT", "HL", "TRN")
    n = 0
    for item in status.read_276_set(watched(current, wire)):
        _keep(found, item.findings)
        n += 1
    return {**wire.facts(current), "trn": wire.rows["TRN"], "n_inquiries": n}


def _278(current: TransactionSet, found: list[Finding]) -> Facts:
    wire = _Wire("BHT", "HL", "UM", "HCR", "HI", "SV1", "SV2", "TRN", "DTP", "HSD", "AAA")
    n = 0
    for item in authorization.read_278_set(watched(current, wire)):
        _keep(found, item.findings)
        n += 1
    return {
        **wire.facts(current),
        **wire.listed("UM", "HCR", "HI", "SV1", "SV2", "TRN", "DTP", "HSD", "AAA"),
        "role": "response" if current.origin.purpose == "11" else "request",
        "n_events": n,
    }


def _999(current: TransactionSet, found: list[Finding]) -> Facts:
    wire = _Wire("BHT", "HL", "AK1", "AK9")
    sets: list[Facts] = []

    def see(segment: Segment) -> None:
        wire(segment)
        tag = segment[0]
        if tag == "AK2":
            if len(sets) < MOST_LISTED:
                sets.append({"ak2": segment[1:], "errs": [], "ik5": []})
        elif sets and tag in ("IK3", "IK4", "CTX", "AK3", "AK4"):
            sets[-1]["errs"].append(list(segment))
        elif sets and tag in ("IK5", "AK5"):
            sets[-1]["ik5"] = segment[1:]

    item = acknowledgement.read_999_set(watched(current, see))
    _keep(found, item.findings)
    facts = wire.facts(current)
    facts.pop("bht")
    return {**facts, "ak1": wire.rows["AK1"], "sets": sets, "ak9": wire.rows["AK9"]}


_BY_KIND: dict[str, Callable[[TransactionSet, list[Finding]], Facts]] = {
    "270": _270,
    "271": _271,
    "276": _276,
    "277": _277,
    "278": _278,
    "835": _835,
    "837": _837,
    "997": _999,
    "999": _999,
}
