"""One row of every tenant table in both organizations, each text of A saying CANA-n and each text
of B CANB-n.

Rows are made from the models themselves, in the order of their references: a new table is in the
walk the day it is migrated. What a column may hold beyond its type (a constraint, the shape of a
JSON) stands in RULES; nothing else here names a column.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models

from rcm.accounts.actor import Actor
from rcm.accounts.database import tenant_models
from rcm.accounts.models import Membership, Organization, Site, User
from rcm.accounts.scope import scope

DAY = dt.date(2026, 3, 2)
NOW = dt.datetime(2026, 3, 2, 15, 0, tzinfo=dt.UTC)

# written by the database alone, or by nobody but its own service: their rows appear by themselves
NOT_MADE = {
    "audit.Change",
    "audit.Seal",
    "ledger.Balance",
    "ledger.LedgerEntry",
    "exchange.IdempotencyKey",
    "ar.AgencyPayment",
}

# what a column of this name says in every table
COMMON: dict[str, Any] = {
    "code": "70551",
    "modality": "MR",
    "pos": "11",
    "state": "IL",
    "zip": "606011234",
    "service_zip": "606011234",
    "phone": "3125550100",
    "sex": "F",
    "subscriber_sex": "F",
    "relationship": "18",
    "npi": "1679576722",
    "tin": "371234567",
    "mod": "",
    "modifier": "",
    "component": "",
    "laterality": "",
    "diagnoses": ["R519"],
    "form": "837P",
    "frequency": "1",
    "rank": 1,
    "gate": "authorization",
    "country": "US",
    "units": 1,
    "version": 0,
    "merged_into": None,
    "reverses": None,
    "replaces": None,
    "primary_claim": None,
    "answer_to": None,
    "rerun_of": None,
    "next_claim": None,
    "plan": None,
    "decided_by": None,
    "transaction": None,
    "lease_until": None,
    "pend_until": None,
    "deceased_on": None,
    "ends_on": None,
    "effective_to": None,
    "voided_at": None,
    "closed_at": None,
    "group": "CO",
    "reason": "197",
    "status_code": "4",
    "form_kind": "",
}
for _name in ("ordering_npi", "rendering_npi", "facility_npi", "referring_npi", "reader_npi"):
    COMMON[_name] = "1679576722"

HOLD = {
    "code": "REPORT_CHECK",
    "queue": "charge_review",
    "waive": "charge.review",
    "sentence": "{}",
    "fix": "{}",
}

# what a table asks beyond that
RULES: dict[str, dict[str, Any]] = {
    "intake.Appointment": {"gates": {}, "minutes": 30},
    "intake.GateDecision": {"state": "stop"},
    "intake.GateOverrideEnd": {"why": "changed"},
    "intake.GateOverride": {"state": "stop", "gate": "authorization"},
    "intake.ChartMerge": {"undone_at": None, "moved": {}, "set_aside": {}, "subjects": []},
    "intake.EligibilityCheck": {"status": "active", "seen_at": None},
    "intake.Benefit": {
        "kind": "copay",
        "code": "B",
        "level": "IND",
        "period": "27",
        "service_types": ["62"],
    },
    "intake.AdvanceNotice": {"kind": "necessity", "option": "1"},
    "intake.VisitMoney": {"kind": "planned", "reason": "later", "ended_at": None},
    "ar.DayClose": {
        "figures": {name: [] for name in ("receipts", "remittances", "bank", "cash", "ties")},
    },
    "ar.PatientPayment": {"appointment": None, "estimate": None, "refunded": 0},
    "intake.Estimate": {"kind": "estimate", "lines": [], "hold": ""},
    "pricing.Contract": {"method": "percent_of_medicare", "terms": {"percent": "120"}},
    "pricing.ContractRate": {"method": "flat"},
    "network.NetworkSpan": {
        "kind": "organization",
        "site": None,
        "effective_from": dt.date(2026, 1, 1),
        "ended_at": None,
        "withdrawn_at": None,
    },
    "authorizations.Authorization": {"status": "pended", "kind": "initial", "evidence": {}},
    "authorizations.AuthorizedService": {"used": 1, "status": "approved"},
    "authorizations.AuthRequest": {"channel": "278", "action": "A4"},
    "charges.ReadingGroup": {"relation": "employee"},
    "charges.BillingArrangement": {
        "reader_relation": "employee",
        "equipment_owner": "ours",
        "tech_employer": "ours",
        "force": "",
    },
    "charges.Exam": {
        "status": "final",
        "form": {},
        "holds": [
            dict.fromkeys(("code", "sentence", "fix", "field", "owner", "rule", "due"), "") | HOLD
        ],
    },
    "charges.Report": {
        "status": "F",
        "version": 1,
        "sections": {"impression": "{}", "findings": "{}"},
    },
    "charges.Charge": {
        "status": "billed",
        "bill_as": "ours",
        "amount": Decimal(900),
        "derivation": [],
    },
    "charges.Unsolicited": {"kind": "ORU"},
    "ar.AuditSample": {"goal": Decimal("0.99"), "half_width": Decimal("0.02"), "strata": []},
    "ar.AuditCase": {"errors": None, "decided_at": None, "coder": None},
    "ar.AuditReading": {"number": 1, "errors": []},
    "ar.Report": {"kind": "weekly", "figures": {}},
    "ar.Threshold": {"kpi": "denial_rate"},
    "ar.Alert": {"rows": []},
    "ar.MonthClose": {"checks": []},
    "ar.RoleCost": {"role": "ar", "cost": Decimal(30)},
    "ar.WorkBaseline": {
        "minutes_per_claim": Decimal(20),
        "cost_to_collect": None,
        "measured": True,
    },
    "ar.StaffPlan": {"skill": "ar", "hours": Decimal(40), "effective_to": None},
    "ar.Shift": {"hours": Decimal(8)},
    "ar.StateFact": {"state": "IL", "topic": "licensure", "number": None},
    "claims.Claim": {"status": "denied", "total": Decimal(900), "extra": {}},
    "claims.ClaimLine": {"number": 1, "pointers": [1], "extra": {}},
    "claims.ScrubFinding": {"severity": "B", "cleared_at": None, "overridden_by": ""},
    "claims.PayerRule": {"severity": "B", "definition": {}, "backtest": {}},
    "claims.PaperPrinter": {"right": Decimal("0.10"), "down": Decimal("-0.05")},
    "claims.Submission": {"claims_count": 1},
    "claims.SubmissionClaim": {"state": "waiting", "sent": {"frequency": "1"}},
    "claims.Acknowledgement": {
        "kind": "277CA",
        "category": "A7",
        "status_code": "562",
        "entity": "85",
    },
    "remittance.Remittance": {
        "status": "ready",
        "amount": Decimal(0),
        "claims_total": Decimal(0),
        "plb_total": Decimal(0),
        "source": "835",
        "method": "ACH",
        "job": None,
    },
    "remittance.ClaimPayment": {"paid": Decimal(0), "state": "exception", "references": {}},
    "remittance.ServicePayment": {"paid": Decimal(0)},
    "remittance.Adjustment": {"klass": "denial"},
    "remittance.ProviderAdjustment": {"amount": Decimal(0), "reason": "WO"},
    "remittance.UnappliedCash": {"amount": Decimal(0)},
    "remittance.CashUse": {"amount": Decimal(1)},
    "remittance.Denial": {"status": "open", "category": "prior_auth"},
    "remittance.Variance": {"difference": Decimal(-10)},
    "ar.WriteOffRequest": {"status": "requested", "account": "ar_insurance", "reason": "denial"},
    "ar.Refund": {"status": "requested", "to": "patient", "issued_on": None},
    "remittance.CashReturn": {"to": "payer", "status": "requested", "decided_by": None},
    "ar.ReceivablePolicy": {"statement_days": [0, 30, 60, 90]},
    "ar.AccountHold": {"kind": "dispute", "lifted_at": None},
    "ar.SlidingScale": {"up_to_percent": 200, "discount": Decimal(50)},
    "ar.Assistance": {
        "status": "submitted",
        "household_size": 2,
        "discount": Decimal(50),
        "letter": b"%PDF-",
    },
    "ar.AgencyFee": {"percent": Decimal(25)},
    "ar.AgencyBatch": {"status": "sent", "accepted_on": None},
    "ar.Placement": {"status": "recalled", "amount": Decimal(20)},
    "ar.StatementDelivery": {"channel": "mail", "status": "sent", "wrong": 0},
    "ar.PaymentPlan": {"total": Decimal(90), "instalment": Decimal(30)},
    "ar.Statement": {"step": 1, "lines": [], "pdf": None},
    "ar.AgingSnapshot": {"basis": "service", "bucket": "0-30"},
    "ar.KpiSnapshot": {"kpi": "days_in_ar", "definition": 1},
    "exchange.Connection": {"kind": "http", "config": {}, "url": "http://127.0.0.1:9/"},
    "exchange.Interchange": {
        "direction": "in",
        "kind": "835",
        "status": "quarantined",
        "media_type": "application/edi-x12",
        "queue": "posting",
    },
    "exchange.ReceivedSet": {"kind": "835", "outcome": "read", "position": 3},
    "exchange.Outbox": {"queue": "batch", "topic": "test.topic", "delivered_at": None},
    "worklist.WorkItem": {
        "queue": "authorization_needed",
        "status": "open",
        "subject_type": "authorization",
        "owner": None,
    },
    "worklist.Interaction": {"channel": "phone"},
    "jobs.JobRun": {"kind": "eligibility.reverify", "status": "done"},
}

# a second row of a table where a screen asks for a special one
SPECIAL: dict[str, dict[str, Any]] = {
    "jobs.JobRun#scrub": {"kind": "scrub"},
    "exchange.Connection#webhook": {
        "kind": "webhook",
        "sender": "",
        "config": {"topics": [], "secret": ""},
    },
}

# rows that another table's trigger asks for
BEFORE = {"charges.Charge": ["charges.Report"], "ledger.LedgerTransaction": ["claims.ClaimLine"]}

# plain keys to rows of rooms that the table's own room does not know
PLAIN_KEYS = {
    "patient_id": "intake.Patient",
    "ordered_exam_id": "intake.OrderedExam",
    "authorization_id": "authorizations.Authorization",
    "exam_id": "charges.Exam",
    "claim_id": "claims.Claim",
    "charge_id": "charges.Charge",
    "denial_id": "remittance.Denial",
    "remittance_id": "remittance.Remittance",
    "work_item_id": "worklist.WorkItem",
    "interchange_id": "exchange.Interchange",
}


class World:
    """The rows of one organization, by model label."""

    def __init__(self, organization: Organization, site: Site, person: User, mark: str) -> None:
        self.organization, self.site, self.person, self.mark = organization, site, person, mark
        self.rows: dict[str, models.Model] = {}
        self._count: Iterator[int] = itertools.count(1)
        self.actor = Actor.system("test", [organization.pk])
        self.rows["accounts.User"] = person
        self.rows["accounts.Organization"] = organization
        self.rows["accounts.Membership"] = Membership.objects.filter(
            user=person, organization=organization
        ).get()

    def __getitem__(self, label: str) -> Any:
        return self.rows[label]

    def word(self, longest: int | None = None) -> str:
        return f"{self.mark}-{next(self._count)}"[: longest or None]

    def build(self) -> World:
        with scope(self.actor):
            for model in _in_order(tenant_models()):
                label = model._meta.label
                if label not in NOT_MADE:
                    self.rows[label] = (
                        self._post_a_charge()
                        if label == "ledger.LedgerTransaction"
                        else self.make(model)
                    )
            for key, given in SPECIAL.items():
                self.rows[key] = self.make(type(self.rows[key.partition("#")[0]]), **given)
            self.rows["audit.Change"] = self._last_change()
        return self

    def make(self, model: type[models.Model], **given: Any) -> models.Model:
        rules = COMMON | RULES.get(model._meta.label, {}) | given
        values: dict[str, Any] = {}
        for field in model._meta.concrete_fields:
            if field.primary_key or field.generated or field.name in {"public_id", "created_at"}:
                continue
            told = field.name in rules and (
                field.null
                if rules[field.name] is None
                else not isinstance(field, models.ForeignKey)
            )
            if told:
                values[field.name] = self._filled(rules[field.name])
            elif isinstance(field, models.ForeignKey):
                values[field.name] = self._reference(field)
            else:
                values[field.name] = self._value(field)
        return model._default_manager.create(**values)

    def _filled(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {k: self._filled(v) for k, v in value.items()}
        if isinstance(value, list):
            return [self._filled(v) for v in value]
        return self.word() if value == "{}" else value

    def _reference(self, field: Any) -> Any:
        target = field.related_model
        own = {Organization: self.organization, Site: self.site, User: self.person}.get(target)
        if own is not None:
            return own
        if target._meta.label in self.rows:
            return self.rows[target._meta.label]
        if target._meta.label == "reference.Payer":
            return target._default_manager.get(code="PHP")
        if field.null:
            return None
        return target._default_manager.first() or _shared(target)

    def _value(self, field: Any) -> Any:
        if field.name in PLAIN_KEYS and PLAIN_KEYS[field.name] in self.rows:
            return self.rows[PLAIN_KEYS[field.name]].pk
        if field.choices:
            return field.default if field.has_default() else field.choices[0][0]
        match field:
            case models.EmailField():
                return f"{self.word().lower()}@example.test"
            case models.CharField() | models.TextField():
                return (
                    self.word(field.max_length)
                    if not field.max_length or field.max_length >= 9
                    else ""
                )
            case models.BooleanField():
                return field.default if field.has_default() else True
            case models.JSONField():
                return field.get_default()
            case ArrayField():
                return [self.word()]
            case models.BinaryField():
                return f"{self.word()} of {self.organization.code}".encode()
            case models.DateTimeField():
                return NOW
            case models.DateField():
                return DAY
            case models.DecimalField():
                return field.default if field.has_default() and field.default else Decimal(10)
            case models.IntegerField():
                return field.default if field.has_default() else 1
        raise AssertionError(f"{field.model._meta.label}.{field.name}: say in RULES what it holds")

    def _post_a_charge(self) -> models.Model:
        from rcm.ledger.models import Account, LedgerEntry, LedgerTransaction

        posting = LedgerTransaction.objects.create(
            organization=self.organization,
            kind="charge",
            effect_key=self.word(),
            effective_on=DAY,
            description=self.word(),
            actor_name=self.word(),
        )
        legs = (
            (Account.AR_INSURANCE, Decimal(900)),
            (Account.CASH, Decimal(10)),  # the receipt's
            (Account.REVENUE, Decimal(-910)),
        )
        keys = {
            key: self[label].pk
            for key, label in PLAIN_KEYS.items()
            if key in {"charge_id", "claim_id", "patient_id"}
        }
        LedgerEntry.objects.bulk_create(
            LedgerEntry(
                organization=self.organization,
                transaction=posting,
                account=account,
                amount=amount,
                effective_on=DAY,
                **keys,
            )
            for account, amount in legs
        )
        return posting

    def _last_change(self) -> models.Model:
        from rcm.audit.models import Change

        patient = self["intake.Patient"]
        patient.city = self.word()
        patient.save()
        return Change.objects.filter(
            organization=self.organization, table_name="intake_patient", row_id=patient.pk
        ).latest("id")


def _shared(target: Any) -> Any:
    makers: dict[str, Callable[[], Any]] = {
        "reference.Provider": lambda: target.objects.create(
            npi="1932102084", last_name="Referrer", first_name="Ann"
        ),
    }
    return makers[target._meta.label]()


def _in_order(found: list[type[models.Model]]) -> list[type[models.Model]]:
    """Every model after those that it must, or by a plain key may, refer to."""
    labels = {m._meta.label: m for m in found}
    done: list[type[models.Model]] = []

    def visit(model: type[models.Model], above: tuple[str, ...]) -> None:
        if model in done or model._meta.label in above:
            return
        for label in BEFORE.get(model._meta.label, ()):
            visit(labels[label], (*above, model._meta.label))
        for field in model._meta.concrete_fields:
            wanted = (
                field.related_model._meta.label
                if isinstance(field, models.ForeignKey)
                else PLAIN_KEYS.get(field.name, "")
            )
            if wanted in labels and wanted != model._meta.label:
                visit(labels[wanted], (*above, model._meta.label))
        done.append(model)

    for model in found:
        visit(model, ())
    return done
