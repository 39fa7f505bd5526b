"""`manage.py prove` finds each breach that is planted behind the product's back, and nothing
else.
"""

from __future__ import annotations

import io
import json
from typing import Any

import psycopg2
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connections

import rcm.prove as prover
from tests import databases
from tests.conftest import make_cast
from tests.security.world import World

# number of the check → what is done to its rows, in organization A
PLANTS: dict[str, str] = {
    "1": (
        "UPDATE ledger_ledgerentry SET amount = amount + 1 WHERE account = 'revenue' AND"
        " organization_id = {a}"
    ),
    "1b": (
        """WITH t AS (INSERT INTO ledger_ledgertransaction (public_id, organization_id, created_at, kind, effect_key, effective_on, description, actor_name,
                                                              source_type, reverses_id)
                        SELECT gen_random_uuid(), organization_id, now(), 'reversal', 'planted', effective_on, '', 'x', '', id FROM ledger_ledgertransaction
                         WHERE organization_id = {a} AND kind = 'charge' RETURNING id, organization_id, effective_on)
             INSERT INTO ledger_ledgerentry (organization_id, created_at, transaction_id, account, amount, effective_on, reason)
             SELECT organization_id, now(), id, x.account, x.amount, effective_on, '' FROM t, (VALUES ('cash', 7), ('unapplied', -7)) AS x (account, amount)"""
    ),
    "2": "UPDATE ledger_balance SET insurance = insurance + 5 WHERE organization_id = {a}",
    "3": (
        "UPDATE remittance_remittance SET status = 'posted', amount = 50 WHERE organization_id"
        " = {a}"
    ),
    "3b": "UPDATE remittance_claimpayment SET paid = 3 WHERE organization_id = {a}",
    "Q3": "UPDATE remittance_remittance SET trace = 'another' WHERE organization_id = {a}",
    "4": (
        """ALTER TABLE ledger_ledgertransaction DROP CONSTRAINT one_effect;
            UPDATE ledger_ledgertransaction SET effect_key = 'planted' WHERE organization_id = {a}"""
    ),
    "5": "UPDATE charges_report SET status = 'P' WHERE organization_id = {a}",
    "6": (
        "UPDATE charges_exam SET status = 'no_bill', no_bill_reason = '' WHERE organization_id"
        " = {a}"
    ),
    "6b": (
        """UPDATE audit_event SET verb = 'gate.overridden',
                  data = '{{"appointment_id": 1, "gate": "authorization", "dollars": "900.00"}}'
            WHERE organization_id = {a}"""
    ),
    "6c": "UPDATE claims_claim SET frequency = '8' WHERE organization_id = {a}",
    "6f": (
        """UPDATE charges_exam x SET suggestion = '{{"code": "99999"}}',
                  decision = jsonb_build_object('code', c.code, 'by', 'Cody')
             FROM charges_charge c WHERE c.exam_id = x.id AND x.organization_id = {a}"""
    ),
    "7": "UPDATE claims_submission SET claims_count = 9 WHERE organization_id = {a}",
    "8": "UPDATE worklist_workitem SET claim_id = NULL WHERE organization_id = {a}",
    "8b": (
        "UPDATE charges_charge SET released_at = now() - interval '30 days' WHERE organization_id"
        " = {a}; UPDATE claims_claim SET status = 'denied' WHERE organization_id = {a}; UPDATE"
        " worklist_workitem SET status = 'done' WHERE organization_id = {a}; UPDATE"
        " ledger_balance SET insurance = 7 WHERE organization_id = {a}; UPDATE"
        " remittance_denial SET status = 'open' WHERE organization_id = {a}"
    ),
    "9": (
        "UPDATE ar_writeoffrequest SET status = 'approved', reason = '' WHERE organization_id = {a}"
    ),
    "9c": "UPDATE ar_placement SET status = 'placed' WHERE organization_id = {a}",
    "9b": (
        "UPDATE ar_writeoffrequest SET status = 'approved', decided_by_id = NULL, amount ="
        " 100000.01 WHERE organization_id = {a}"
    ),
    "10": "UPDATE ledger_balance SET patient = patient + 5 WHERE organization_id = {a}",
    "10b": (
        "UPDATE ar_refund SET status = 'approved', \"to\" = 'payer', payer_id = (SELECT min(id)"
        " FROM reference_payer), decided_by_id = NULL WHERE organization_id = {a}"
    ),
    "10c": (
        """INSERT INTO charges_charge SELECT (jsonb_populate_record(c, jsonb_build_object(
             'id', c.id + 1000000, 'public_id', gen_random_uuid(), 'replaces_id', c.id,
             'status', 'released'))).* FROM charges_charge c WHERE organization_id = {a};
           UPDATE charges_charge SET status = 'void'
            WHERE organization_id = {a} AND id < 1000000"""
    ),
    "11": "ALTER TABLE intake_patient NO FORCE ROW LEVEL SECURITY",
    "12": "UPDATE audit_access SET purpose = '' WHERE organization_id = {a}",
    "12b": "UPDATE audit_access SET author = 'person:1:Mia' WHERE organization_id = {a}",
    "12c": (
        """INSERT INTO audit_seal (public_id, created_at, organization_id, number, table_name, shape, from_tx, upto_tx, count,
                                      ids, digests, previous, digest)
                  VALUES (gen_random_uuid(), now(), {a}, 7, 'audit_access', 'id', 0, 0, 0, '{{}}', '', '', 'x')"""
    ),
    "12d": (
        """INSERT INTO audit_seal (public_id, created_at, organization_id, number, table_name, shape, from_tx, upto_tx, count,
                                      ids, digests, previous, digest)
                  VALUES (gen_random_uuid(), now(), {a}, 8, 'audit_event', 'id', 0, 9000000000, 0, '{{}}', '', '', 'x')"""
    ),
    "20": "UPDATE network_networkspan SET status = 'pending' WHERE organization_id = {a}",
    "Q4": "UPDATE authorizations_authorizedservice SET used = 7 WHERE organization_id = {a}",
    "16": (
        "UPDATE remittance_unappliedcash SET amount = 7, resolved_at = NULL WHERE organization_id"
        " = {a}"
    ),
    "15": "UPDATE exchange_receivedset SET position = 99 WHERE organization_id = {a}",
    "15b": "UPDATE exchange_receivedset SET outcome = 'read' WHERE organization_id = {a}",
    "15c": (
        "UPDATE exchange_interchange SET content = content || 'CLP*ANOTHER~'::bytea WHERE"
        " organization_id = {a} AND id IN (SELECT interchange_id FROM remittance_remittance)"
    ),
    "14": ("UPDATE remittance_remittance SET payee_npi = '1234567893' WHERE organization_id = {a}"),
    "17": (
        "UPDATE remittance_denial SET status = 'upheld', resolved_on = NULL WHERE organization_id"
        " = {a}"
    ),
    "21": "UPDATE ar_patientpayment SET amount = amount + 0.01 WHERE organization_id = {a}",
    "22": (
        "UPDATE ar_patientpayment SET voided_at = NULL, refunded = 0, plan_id = (SELECT min(id) FROM"
        " ar_paymentplan WHERE organization_id = {a}) WHERE organization_id = {a}; UPDATE"
        " ar_paymentplan SET total = instalment, instalment = 0.01 WHERE organization_id = {a};"
        " UPDATE ar_paymentplan SET total = 0.01 WHERE organization_id = {a}"
    ),
    "23": (
        "UPDATE remittance_cashreturn SET status = 'sent', \"to\" = 'patient', patient_id = (SELECT"
        " min(id) FROM intake_patient WHERE organization_id = {a}) WHERE organization_id = {a}"
    ),
    "18": "UPDATE ar_report SET pdf = 'other'::bytea WHERE organization_id = {a}",
    "Q5": "UPDATE intake_visitmoney SET kind = 'paid' WHERE organization_id = {a}",
    "19": "UPDATE intake_patient SET merged_into_id = id WHERE organization_id = {a}",
}
UNDO = (
    "ALTER TABLE ledger_ledgertransaction DROP CONSTRAINT IF EXISTS one_effect",
    (
        "ALTER TABLE ledger_ledgertransaction ADD CONSTRAINT one_effect UNIQUE (organization_id,"
        " effect_key)"
    ),
    "ALTER TABLE intake_patient FORCE ROW LEVEL SECURITY",
)
ERA = (
    b"ISA*00*          *00*          *ZZ*PAYER          *ZZ*CANA          "
    b" *260302*0800*^*00501*000000001*0*T*:~GS*HP*P*C*20260302*0800*1*X*005010X221A1~ST*835*0001~BPR*H*0*C*NON~TRN*1*%s*1512345678~CLP*X*1*0*0~PLB*1*2*WO:X*0~SE*5*0001~GE*1*1~IEA*1*000000001~"
)


def behind(*statements: str) -> None:
    """Run SQL as the owner with every trigger of ours switched off: what no role of the product can
    do.
    """
    name = connections["default"].settings_dict["NAME"]
    raw = psycopg2.connect(databases.in_database(databases.owner_url(), name))
    raw.autocommit = True
    with raw.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('isocenter.orgs', string_agg(id::text, ','), false) FROM"
            " accounts_organization"
        )
        cursor.execute(
            "SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal"
        )
        guarded = [table for (table,) in cursor.fetchall()]
        try:
            for statement in (
                *(f"ALTER TABLE {t} DISABLE TRIGGER USER" for t in guarded),
                *statements,
            ):
                cursor.execute(statement)
        finally:
            for table in guarded:
                cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
            raw.close()


def totals() -> dict[tuple[str, str], prover.Proof]:
    return {(p.organization, p.check.number): p for p in prover.prove()}


@pytest.fixture
def proofs(transactional_db) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """Every proof of both organizations before and after all breaches were planted in A."""
    cast = make_cast()
    for mark, organization, site, person in (
        ("CANA", cast.a, cast.north, "ana"),
        ("CANB", cast.b, cast.b_site, "olga"),
    ):
        world = World(organization, site, cast.user(person), mark).build()
        remittance, interchange = world["remittance.Remittance"], world["exchange.Interchange"]
        bytes_ = psycopg2.Binary(ERA % remittance.trace.encode())
        behind(
            f"UPDATE exchange_interchange SET content = {bytes_.getquoted().decode()} WHERE id ="
            f" {interchange.pk}",
            f"UPDATE worklist_workitem SET claim_id = {world['claims.Claim'].pk} WHERE"
            f" organization_id = {organization.pk}",
            "UPDATE remittance_remittance SET segment_start = 3 WHERE organization_id ="
            f" {organization.pk}",
            "UPDATE remittance_denial SET status = 'open' WHERE organization_id ="
            f" {organization.pk}",
            "UPDATE ar_report SET sha256 = encode(sha256(pdf), 'hex'), kind = 'monthly' WHERE"
            f" organization_id = {organization.pk}",
            "UPDATE ar_monthclose m SET month = r.first FROM ar_report r WHERE r.id = m.report_id"
            f" AND m.organization_id = {organization.pk}",
            "UPDATE authorizations_authorizationuse SET units = 1 WHERE organization_id ="
            f" {organization.pk}",
        )
    before = totals()
    try:
        behind(*(sql.format(a=cast.a.pk) for sql in PLANTS.values()))
        after = totals()
    finally:
        behind("UPDATE ledger_ledgertransaction SET effect_key = id::text", *UNDO)
    return before, after


def test_every_planted_breach_is_found_and_each_organization_answers_for_itself(proofs) -> None:
    before, after = proofs
    assert {c.number for c in prover.CHECKS} == set(PLANTS), "plant a breach for each check"
    grown = {key for key in after if after[key].total > before[key].total}
    # the policy of a table concerns everybody; all else is A's alone
    assert grown == {("CANA", number) for number in PLANTS} | {("CANB", "11")}
    assert all(p.breaches for p in after.values() if p.total)
    assert {p.check.number for (o, _), p in before.items() if p.total and o == "CANA"} == set(), [
        p for p in before.values() if p.total
    ]


def test_the_command_prints_each_promise_with_its_count_and_fails_when_one_is_broken(
    transactional_db,
) -> None:
    cast = make_cast()
    World(cast.a, cast.north, cast.user("ana"), "CANA").build()
    behind(
        f"UPDATE ledger_balance SET insurance = insurance + 5 WHERE organization_id = {cast.a.pk}"
    )
    out = io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("prove", json=True, stdout=out)
    assert ended.value.code == 1
    rows = json.loads(out.getvalue())
    broken = {(r["organization"], r["invariant"]) for r in rows if r["breaches"]}
    assert ("CANA", "2") in broken
    assert all(r["looked"] >= 0 and r["promise"] for r in rows)
    assert len(rows) == 2 * len(prover.CHECKS)
    words = io.StringIO()
    with pytest.raises(SystemExit):
        call_command("prove", stdout=words)
    assert "A charge's kept balance is the sum of its entries" in words.getvalue()


def test_an_empty_house_holds(transactional_db) -> None:
    make_cast()
    out = io.StringIO()
    call_command("prove", stdout=out)
    assert "0 breaches" in out.getvalue().splitlines()[-1]
    assert settings.DATABASE_APP_ROLE
