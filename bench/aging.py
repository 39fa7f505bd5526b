"""Aging of a million open lines beside the bare SQL aggregate over the same ledger.

    python bench/aging.py [LINES]

Printed: seconds of the bare aggregate (entries of the receivable accounts joined to their charges,
summed by age), of the aging by service date and by first bill date, of one cell's first 100 lines,
and of a figure over the same rows; each as a ratio to the bare aggregate.
"""

from __future__ import annotations

import sys

sys.path[:0] = [__file__.rsplit("/bench/", 1)[0]]
from bench.scratch import database, median, prepare  # noqa: E402

prepare("bench_aging")

# one patient and coverage a payer; three charges an exam and claim; every third line partly paid
FILL = """
INSERT INTO charges_exam (id, public_id, created_at, organization_id, patient_id, site_id, coverage_id, accession, study_uid, modality, code, laterality, performed_at, service_date,
  station, performed, diagnoses, suggestion, decision, findings, order_change, status, match, holds, no_bill_reason, no_bill_by, form, expected, version)
SELECT n, gen_random_uuid(), now(), {org}, {patient}, CASE n % 2 WHEN 0 THEN {north} ELSE {south} END, {coverage} + n % 8, 'B' || n, '', 'CT', '74178', '', now() - (n % 200) * interval '1 day',
  current_date - (n % 200)::int, '', '{{}}', '[]', '{{}}', '{{}}', '[]', '{{}}', 'released', '{{}}', '[]', '', '', '{{}}', 300, 0 FROM generate_series(1, {exams}) n;
INSERT INTO charges_charge (id, public_id, created_at, organization_id, exam_id, patient_id, code, component, modifiers, units, pos, service_date, diagnoses, amount, expected, derivation, rendering_npi,
  bill_as, service_zip, status, released_at)
SELECT n, gen_random_uuid(), now(), {org}, 1 + (n - 1) / 3, {patient}, '74178', '', '[]', 1, '11', current_date - ((1 + (n - 1) / 3) % 200)::int, '[]', 300, 100, '[]', '', 'ours', '', 'billed', now()
  FROM generate_series(1, {lines}) n;
INSERT INTO claims_claim (id, public_id, created_at, organization_id, number, patient_id, coverage_id, payer_id, site_id, rank, form, frequency, status, pos, service_date, diagnoses, total,
  authorization_number, payer_control_number, referring_npi, ordering_npi, rendering_npi, note, extra, first_submitted_at, version{claim_columns})
SELECT n, gen_random_uuid(), now(), {org}, 'B' || n, {patient}, {coverage} + n % 8, {payer} + n % 8, {north}, 1, '837P', '1', 'accepted', '11', current_date - (n % 200)::int, '[]', 900, '', '', '', '', '', '', '{{}}',
  CASE WHEN n % 10 = 0 THEN NULL ELSE now() - (n % 200 - 2) * interval '1 day' END, 0{claim_values} FROM generate_series(1, {exams}) n;
INSERT INTO claims_claimline (public_id, created_at, organization_id, claim_id, charge_id, number, control, code, modifiers, units, amount, pointers, service_date, extra)
SELECT gen_random_uuid(), now(), {org}, 1 + (n - 1) / 3, n, 1 + (n - 1) % 3, 'L' || n, '74178', '[]', 1, 300, '[]', current_date, '{{}}' FROM generate_series(1, {lines}) n;
INSERT INTO ledger_ledgertransaction (id, public_id, created_at, organization_id, kind, effect_key, effective_on, description, actor_name, source_type)
VALUES (1, gen_random_uuid(), now(), {org}, 'bench', 'bench', current_date, '', 'bench', '');
INSERT INTO ledger_ledgerentry (created_at, organization_id, transaction_id, account, amount, effective_on, charge_id, patient_id, payer_id, reason)
SELECT now(), {org}, 1, 'ar_insurance', 300, current_date - ((1 + (n - 1) / 3) % 200)::int, n, {patient}, {payer}, '' FROM generate_series(1, {lines}) n;
INSERT INTO ledger_ledgerentry (created_at, organization_id, transaction_id, account, amount, effective_on, charge_id, patient_id, payer_id, reason)
SELECT now(), {org}, 1, CASE k WHEN 1 THEN 'ar_insurance' WHEN 2 THEN 'cash' ELSE 'ar_patient' END, CASE k WHEN 1 THEN -100 WHEN 2 THEN 80 ELSE 20 END, current_date - (n % 100)::int, n, {patient}, {payer}, ''
  FROM generate_series(3, {lines}, 3) n, generate_series(1, 3) k;
INSERT INTO ledger_ledgerentry (created_at, organization_id, transaction_id, account, amount, effective_on, charge_id, patient_id, payer_id, reason)
SELECT now(), {org}, 1, 'revenue', -300, current_date - ((1 + (n - 1) / 3) % 200)::int, n, {patient}, {payer}, '' FROM generate_series(1, {lines}) n;
"""
BARE = """
SELECT width_bucket(current_date - c.service_date, array[31, 61, 91, 121]), sum(o.amount), count(*)
  FROM (SELECT charge_id, sum(amount) amount FROM ledger_ledgerentry
         WHERE organization_id = %s AND account IN ('ar_insurance', 'ar_patient') AND effective_on <= current_date GROUP BY charge_id HAVING sum(amount) <> 0) o
  JOIN charges_charge c ON c.id = o.charge_id GROUP BY 1
"""


def main(lines: int) -> None:
    from django.db import connection
    from django.utils import timezone

    from ar import aging
    from ar.kpi import engine
    from ar.kpi.definitions import BY_CODE
    from claims.models import Claim
    from intake.models import Coverage, Patient
    from rcm.accounts.scope import scope
    from rcm.reference.models import Payer

    with database() as (cast, owner):
        with scope(cast.system):
            patient = Patient.objects.create(
                organization=cast.a,
                mrn="B",
                last_name="Bench",
                first_name="B",
                born_on="1970-01-01",
                sex="F",
                search="b",
            )
            owner(
                "ALTER SEQUENCE reference_payer_id_seq RESTART WITH 100001",
                "ALTER SEQUENCE intake_coverage_id_seq RESTART WITH 100001",
            )
            payers = [
                Payer.objects.create(
                    code=f"B{n}", name=f"Bench payer {n}", edi_id=f"B{n}", kind="commercial"
                )
                for n in range(8)
            ]
            for n, payer in enumerate(payers):
                Coverage.objects.create(
                    organization=cast.a,
                    patient=patient,
                    payer=payer,
                    member_id=f"B{n}",
                    rank=1 + n % 3,
                    active=False,
                )
        # columns that a later migration may have added to claims, with a neutral value
        known = FILL.split("INSERT INTO claims_claim ")[1].split(")")[0]
        extra = [
            f for f in Claim._meta.local_concrete_fields if not f.null and f.column not in known
        ]
        columns = "".join(f", {f.column}" for f in extra)
        values = "".join(
            (
                ", ''"
                if f.get_internal_type() in ("CharField", "TextField")
                else (
                    ", '[]'"
                    if f.get_internal_type() == "JSONField"
                    else ", false"
                    if f.get_internal_type() == "BooleanField"
                    else ", 0"
                )
            )
            for f in extra
        )
        facts = {
            "org": cast.a.pk,
            "patient": patient.pk,
            "north": cast.north.pk,
            "south": cast.south.pk,
            "payer": payers[0].pk,
            "coverage": 100001,
            "lines": lines,
            "exams": (lines + 2) // 3,
        }
        owner(
            FILL.format(**facts, claim_columns=columns, claim_values=values),
            *(
                f"VACUUM ANALYZE {t}"
                for t in (
                    "charges_exam",
                    "charges_charge",
                    "claims_claim",
                    "claims_claimline",
                    "ledger_ledgerentry",
                )
            ),
        )
        today = timezone.localdate()
        asked = {"organizations": [cast.a.pk]}

        def bare() -> None:
            with scope(cast.system), connection.cursor() as cursor:
                cursor.execute("SET LOCAL statement_timeout = 0")
                cursor.execute(BARE, [cast.a.pk])
                cursor.fetchall()

        def inside(work: object) -> object:
            def run() -> None:
                with scope(cast.system), connection.cursor() as cursor:
                    cursor.execute("SET LOCAL statement_timeout = 0")
                    work()

            return run

        floor = median(bare, 3)
        print(f"{lines:,} open lines\n{'bare aggregate':<34}{floor / 1000:>8.2f} s")
        for name, work in (
            ("aging by service date", lambda: aging.aging(on=today, **asked)),
            (
                "aging by first bill date",
                lambda: aging.aging(on=today, basis=aging.BILLED, **asked),
            ),
            (
                "aging 90 days ago",
                lambda: aging.aging(on=today - timezone.timedelta(days=90), **asked),
            ),
            (
                "100 lines of a cell",
                lambda: aging.lines(on=today, bucket="61-90", payers=[payers[0].pk], **asked),
            ),
            (
                "A/R over 90 days (a key figure)",
                lambda: engine.compute(BY_CODE["over_90"], day=today, **asked),
            ),
        ):
            spent = median(inside(work), 3)
            print(f"{name:<34}{spent / 1000:>8.2f} s   ×{spent / floor:.2f}", flush=True)
        with scope(cast.system), connection.cursor() as cursor:
            cursor.execute(
                "SELECT sum(amount) FROM ledger_ledgerentry WHERE account IN ('ar_insurance',"
                " 'ar_patient') AND effective_on <= current_date"
            )
            ledger = cursor.fetchone()[0]
            assert aging.total(aging.aging(on=today, **asked)) == ledger, (
                "aging must equal the ledger"
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
