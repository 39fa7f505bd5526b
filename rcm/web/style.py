"""The examples on the living style page. They show components; they are no record of the
product.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django import forms
from django.http import HttpRequest

from rcm.accounts.clock import office_day
from rcm.web import charts, parts
from rcm.web import format as fmt
from rcm.web import forms as house
from rcm.web.lists import Column, ListPage, Order

DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Example:
    pk: int
    number: str
    service: dt.date
    patient: str
    born: dt.date
    mrn: str
    payer: str
    exam: str
    component: str
    reason: str
    words: str
    balance: Decimal
    deadline: dt.date


TABLE = ListPage(
    name="example",
    title="Example of a work table",
    noun=("denial", "denials"),
    row_label="number",
    amount="balance",
    detail=lambda row: f"#row-{row.pk}",
    columns=(
        Column(
            "claim",
            "Claim",
            "number",
            width="id",
            link=True,
            second=lambda r: f"DOS {fmt.short_day(r.service)}",
        ),
        Column(
            "patient",
            "Patient",
            "patient",
            width="who",
            second=lambda r: f"{fmt.mdy(r.born)} {r.mrn}",
            second_kind="code",
        ),
        Column("payer", "Payer", "payer", width="payer", fold=True),
        Column("exam", "Exam", "exam", kind="code", width="exam", second="component"),
        Column("reason", "Denial", "reason", kind="strong", second="words"),
        Column("balance", "Balance", "balance", kind="money", width="money"),
        Column("deadline", "Appeal by", "deadline", kind="deadline", width="due"),
    ),
    orders=(Order("deadline", "appeal deadline", ("deadline", "pk")),),
)


class ExampleForm(house.HouseForm):
    sections = (
        ("Person", ("family", "born")),
        ("Coverage", ("member_id", "copay", "order", "consent")),
    )
    family = forms.CharField(label="Last name")
    born = house.DateField(label="Date of birth", past=True)
    member_id = house.MemberIdField(help_text="As printed on the card")
    copay = house.MoneyField(label="Copay collected")
    order = forms.ChoiceField(
        label="Order of this coverage",
        choices=[("1", "Primary"), ("2", "Secondary")],
        widget=forms.RadioSelect,
    )
    consent = forms.BooleanField(label="The patient agreed to pay the estimate", required=False)


def _rows(request: HttpRequest, today: dt.date) -> list[Any]:
    found = [
        Example(
            1,
            "C204118",
            today - 62 * DAY,
            "Marisol Ibarra",
            dt.date(1958, 3, 27),
            "M880412",
            "Aetna",
            "CT 74178",
            "Global",
            "CO-197",
            "Authorization differs from exam",
            Decimal("1284.00"),
            today + 2 * DAY,
        ),
        Example(
            2,
            "C204229",
            today - 94 * DAY,
            "Tomasz Wieczorek",
            dt.date(1969, 1, 30),
            "M883151",
            "Medicare Part B",
            "CT 71260",
            "26",
            "OA-18",
            "Duplicate, component billed by another",
            Decimal("2310.00"),
            today + 9 * DAY,
        ),
        Example(
            3,
            "C204340",
            today - 37 * DAY,
            "Priya Venkatesan",
            dt.date(1988, 12, 12),
            "M885890",
            "Blue Shield PPO",
            "MG 77067",
            "Global",
            "CO-11",
            "Diagnosis not covered for exam",
            Decimal("-18.40"),
            today + 44 * DAY,
        ),
    ]
    return [TABLE._row(request, row, "1") for row in found]


def _charts() -> list[charts.Chart]:
    weeks = [f"W{n}" for n in range(1, 14)]
    rate = [
        Decimal(n) / 1000 for n in (938, 941, 935, 944, 951, 949, 955, 958, 953, 961, 966, 964, 971)
    ]
    payers = ["Aetna", "Blue Shield", "Medicare", "UHC"]
    aging = [
        ("0-30", [52100, 61800, 74200, 48300]),
        ("31-60", [18400, 22600, 21900, 19800]),
        ("61-90", [9100, 12700, 6400, 11200]),
        ("91-120", [4300, 6900, 2100, 7400]),
        ("Over 120", [2200, 5100, 900, 8600]),
    ]
    lag = [
        ("Order to authorization", 26),
        ("Exam", 61),
        ("Final report", 19),
        ("Charge", 9),
        ("Claim", 14),
        ("Payment", 402),
    ]
    tiles = [
        charts.StateTile("AL", "9.1%", "bad", "/style/#AL", "9.1% denied, limit 180 days"),
        charts.StateTile("TX", "4.2%", "good", "/style/#TX", "4.2% denied, limit 95 days"),
        charts.StateTile("CA", "6.0%", "warn", "/style/#CA", "6.0% denied, limit 180 days"),
        charts.StateTile("NY", "3.8%", "good", "/style/#NY", "3.8% denied, limit 120 days"),
    ]
    return [
        charts.line(
            "Clean claim rate",
            weeks,
            rate,
            target=Decimal("0.98"),
            words=fmt.percent,
            name="Rate",
            note="13 weeks, target 98%",
        ),
        charts.stacked(
            "Aging by payer",
            payers,
            aging,
            words=lambda v: fmt.money(v, cents=False),
            urls=[f"#{p}" for p in payers],
        ),
        charts.waterfall("Hours from order to zero balance", lag, words=fmt.number, of="Step"),
        charts.bars(
            "Denials by reason",
            ["CO-197", "CO-16", "CO-50", "OA-18", "CO-29"],
            [41, 28, 22, 17, 9],
            of="Reason",
            name="Denials",
        ),
        charts.state_map("Denial rate by state", tiles, figure="Denied"),
    ]


def examples(request: HttpRequest) -> dict[str, Any]:
    """The context of /style/."""
    today = office_day()
    now = dt.datetime.combine(today, dt.time(14, 22))
    wrong = ExampleForm(
        {"family": "", "born": "13/40/1958", "member_id": "W22/39", "copay": "1E5", "order": "1"},
        auto_id="wrong_%s",
    )
    raw = "ISA*00*~GS*HP*~ST*835*0001~BPR*I*1284*C*ACH~TRN*1*4471092~CLP*C204118*4*1284*0**12*7781~CAS*CO*197*1284~SE*8*0001~"
    return {
        "swatches": (
            "ink",
            "ink-2",
            "paper",
            "raised",
            "sunk",
            "line",
            "line-strong",
            "accent",
            "accent-wash",
            "bad",
            "bad-wash",
            "warn",
            "warn-wash",
            "good",
            "good-wash",
        ),
        "today": today,
        "soon": today + 2 * DAY,
        "later": today + 11 * DAY,
        "far": today + 55 * DAY,
        "gone": today - 3 * DAY,
        "page_def": TABLE,
        "rows": _rows(request, today),
        "order": TABLE.orders[0],
        "total_words": "3 denials",
        "page_amount": Decimal("3575.60"),
        "example_form": ExampleForm(
            initial={"born": dt.date(1958, 3, 27), "copay": Decimal("45")}, auto_id="right_%s"
        ),
        "wrong_form": wrong,
        "evidence": (
            parts.Evidence(
                "Order",
                "74178",
                "CT abdomen and pelvis without and with",
                "Signed 11 Sep, right side",
            ),
            parts.Evidence(
                "Authorization",
                "74177",
                "CT abdomen and pelvis with",
                "A-4471092 until 30 Nov",
                differs=True,
            ),
            parts.Evidence("Performed", "74178", "MPPS complete 14:22", "CT-2"),
            parts.Evidence("Report", text="no final report received", missing=True),
        ),
        "events": (
            parts.Event(
                now,
                "835 posted: CO-197, $1,284.00 denied",
                "posting",
                "remittance",
                "bad",
                machine=True,
                url="#raw",
            ),
            parts.Event(
                now - 18 * DAY,
                "Accepted by the payer (277CA)",
                "claim status",
                "claim",
                "good",
                machine=True,
            ),
            parts.Event(
                now - 20 * DAY,
                "Called, reference 4471",
                "T. Brandt",
                "call",
                "info",
                detail="Promised an answer by Friday",
            ),
        ),
        "gates": (
            parts.Gate("Identity", parts.READY),
            parts.Gate("Order", parts.READY),
            parts.Gate("Eligibility", parts.CHECK, "Plan changed since T-3"),
            parts.Gate("Authorization", parts.STOP, "Ordered 74178, authorized 74177", "#gate"),
            parts.Gate("Money", parts.READY, "$45.00 due"),
        ),
        "tie": parts.Tie(Decimal("18240.50"), Decimal("18240.50"), Decimal("18240.50")),
        "tie_open": parts.Tie(Decimal("18240.50"), Decimal("18261.00"), Decimal("0")),
        "blockers": (
            parts.Blocker(
                "The authorization covers 74177; the claim bills 74178.",
                "Ask for an authorization change",
                "#fix",
                "AUTH-MATCH",
                "authorization-family",
            ),
            parts.Blocker(
                "The referring NPI is not in the registry copy.",
                "Check it against the order",
                "",
                "REF-NPI",
                "",
                "warn",
            ),
        ),
        "stats": (
            parts.Stat(
                "Clean claim rate",
                "97.1%",
                "98%",
                "good",
                "+0.7 pt",
                "Claims accepted by the payer without a person's change, over claims sent. CL-1.",
                "#clean",
                charts.sparkline(
                    [938, 941, 935, 944, 951, 949, 955, 958, 953, 961, 966, 964, 971], target=980
                ),
                fmt.mdy(today),
            ),
            parts.Stat(
                "Days in A/R",
                "38.2",
                "35",
                "warn",
                "+1.1 d",
                "Open balance over average daily charges of 90 days.",
                "#dar",
                charts.sparkline(
                    [36, 36.4, 36.1, 36.9, 37.2, 37, 37.6, 37.4, 37.9, 38.1, 37.8, 38, 38.2],
                    target=35,
                ),
            ),
            parts.Stat(
                "Filing limit at risk",
                "$14,702",
                "$0",
                "bad",
                "6 claims",
                "Open claims with fewer than 10 days to the payer's limit.",
                "#limit",
            ),
        ),
        "job": parts.Progress("Re-verify the next 14 days", 214, 611, failed=3),
        "job_done": parts.Progress("Post 835 4471092", 118, 118, finished=True),
        "conflicts": (
            parts.Conflict("Member ID", "W2239 88120", "W223988102"),
            parts.Conflict("Plan", "Aetna Choice POS", "Aetna Choice POS"),
        ),
        "changes": (
            parts.Change("Frequency", "1 original", "7 replacement"),
            parts.Change("Payer control number", "", "7781"),
            parts.Change("Charge", "$1,284.00", "$1,284.00"),
        ),
        "lines": parts.raw_lines(raw, marked=(7,), separator="~"),
        "patient": parts.PatientBanner(
            "Ibarra",
            "Marisol",
            dt.date(1958, 3, 27),
            "M880412",
            "F",
            alerts=("Similar name: Ibarra, Marisela",),
        ),
        "charts": _charts(),
        "no_saved": None,
    }
