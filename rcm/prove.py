"""`manage.py prove`: every invariant of ARCHITECTURE.md recomputed on the live database by plain
SQL, each with its count.

A check is one statement that returns the breaches (at most a few are shown by key) and one that
counts what was looked at. They use no service and no cached figure of the product, so that a wrong
service cannot prove itself right. One organization at a time, as the application role: the same
row-level security holds that holds for everybody.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import connection

from rcm.accounts.actor import Actor
from rcm.accounts.charts import Follow, patient_keys
from rcm.accounts.models import Organization
from rcm.accounts.scope import scope


@dataclass(frozen=True, slots=True)
class Check:
    """One promise. `looked` counts rows examined, `breaches` selects a key and a few words for each
    row that breaks it.
    """

    number: str
    promise: str
    looked: str
    breaches: str


# Segments of every received X12 file that was read, numbered as the reader numbers them: each
# interchange is cut by its own delimiters (the 4th and the 106th character of its ISA), empty pieces
# count nothing, and `st` is the number of the ST that a segment stands behind.
WIRE = r"""WITH files AS (
    SELECT i.id, ltrim(convert_from(i.content, 'LATIN1'), E'\u00ef\u00bb\u00bf \r\n') AS body
      FROM exchange_interchange i
     WHERE i.direction = 'in' AND i.status IN ('processed', 'quarantined', 'failed')
       AND EXISTS (SELECT 1 FROM exchange_receivedset s WHERE s.interchange_id = i.id)),
  parts AS (
    SELECT f.id, p.ord AS part, p.text, substr(p.text, 4, 1) AS element,
           substr(p.text, 106, 1) AS terminator
      FROM files f, regexp_split_to_table(f.body, '(?<=[^A-Za-z0-9 ])\s*(?=ISA[^A-Za-z0-9 ])')
           WITH ORDINALITY AS p(text, ord)
     WHERE p.text LIKE 'ISA%'),
  pieces AS (
    SELECT p.id, row_number() OVER (PARTITION BY p.id ORDER BY p.part, s.ord) AS position,
           string_to_array(btrim(s.text, E' \r\n'), p.element) AS e
      FROM parts p, unnest(string_to_array(p.text, p.terminator)) WITH ORDINALITY AS s(text, ord)
     WHERE btrim(s.text, E' \r\n') <> ''),
  wire AS (
    SELECT id, position, e, max(CASE WHEN e[1] = 'ST' THEN position END)
           OVER (PARTITION BY id ORDER BY position) AS st FROM pieces)"""

# a row of any table that belongs to a patient, and money on account that no charge carries
HANGING = " UNION ALL ".join(
    (
        *(
            f"SELECT t.id, '{model._meta.db_table} names a merged chart'"  # noqa: S608
            f" FROM {model._meta.db_table} t JOIN intake_patient p ON p.id = t.{key.column}"
            " WHERE p.merged_into_id IS NOT NULL"
            for model, key in patient_keys(Follow.MOVES)
        ),
        "SELECT p.id, 'holds ' || sum(e.amount) || ' on ' || e.account"
        " FROM ledger_ledgerentry e JOIN intake_patient p ON p.id = e.patient_id"
        " WHERE p.merged_into_id IS NOT NULL AND e.charge_id IS NULL AND e.account IN"
        " ('unapplied', 'refund_payable', 'ar_patient', 'ar_insurance')"
        " GROUP BY p.id, e.account HAVING sum(e.amount) <> 0",
    )
)

CHECKS: tuple[Check, ...] = (
    Check(
        "1",
        "Every ledger transaction sums to zero",
        "SELECT count(*) FROM ledger_ledgertransaction",
        """SELECT t.id, 'sum ' || coalesce(sum(e.amount), 0) FROM ledger_ledgertransaction t
             LEFT JOIN ledger_ledgerentry e ON e.transaction_id = t.id GROUP BY t.id HAVING coalesce(sum(e.amount), 0) <> 0 OR count(e.id) < 2""",
    ),
    Check(
        "20",
        "No claim left without its providers enrolled on the day, as it was known then, unless"
        " somebody took that on with a reason",
        "SELECT count(*) FROM claims_submissionclaim sc JOIN claims_submission s ON s.id ="
        " sc.submission_id WHERE s.built_at >= (SELECT min(n.recorded_at) FROM network_networkspan"
        " n WHERE n.organization_id = sc.organization_id AND n.kind <> 'site')",
        # a void takes back what was billed and needs no enrollment; what ended or was withdrawn
        # after the file was built still stood when it left
        """WITH sent AS (
             SELECT sc.id, c.id AS claim, c.organization_id, c.payer_id, v.plan_id, c.service_date, s.built_at, who.npi, who.edit
               FROM claims_submissionclaim sc JOIN claims_submission s ON s.id = sc.submission_id
               JOIN claims_claim c ON c.id = sc.claim_id JOIN intake_coverage v ON v.id = c.coverage_id
               JOIN accounts_organization o ON o.id = c.organization_id
               CROSS JOIN LATERAL (VALUES (o.npi, 'ENR-001'), (coalesce(sc.sent->>'rendering', ''), 'ENR-002')) AS who (npi, edit)
              WHERE coalesce(sc.sent->>'frequency', c.frequency) <> '8' AND who.npi <> ''
                AND s.built_at >= (SELECT min(n.recorded_at) FROM network_networkspan n WHERE n.organization_id = c.organization_id AND n.kind <> 'site'))
           SELECT t.id, 'claim ' || t.claim || ' left although ' || t.npi || ' was not enrolled on ' || t.service_date FROM sent t
            WHERE coalesce((SELECT n.status FROM network_networkspan n
                             WHERE n.organization_id = t.organization_id AND n.kind <> 'site' AND n.npi = t.npi AND n.payer_id = t.payer_id
                               AND (n.plan_id IS NULL OR n.plan_id = t.plan_id) AND n.recorded_at <= t.built_at
                               AND (n.withdrawn_at IS NULL OR n.withdrawn_at > t.built_at) AND n.effective_from <= t.service_date
                               AND (n.effective_to IS NULL OR n.effective_to >= t.service_date OR n.ended_at > t.built_at)
                             ORDER BY n.plan_id IS NULL, n.recorded_at DESC LIMIT 1), 'none') NOT IN ('in', 'out')
              AND NOT EXISTS (SELECT 1 FROM claims_scrubfinding f WHERE f.claim_id = t.claim AND f.edit = t.edit
                                 AND f.overridden_by <> '' AND f.override_reason <> '')""",
    ),
    Check(
        "1b",
        "A reversal mirrors its original leg by leg",
        "SELECT count(*) FROM ledger_ledgertransaction WHERE reverses_id IS NOT NULL",
        """SELECT t.id, 'legs differ from the mirror of ' || t.reverses_id FROM ledger_ledgertransaction t WHERE t.reverses_id IS NOT NULL AND EXISTS (
             (SELECT account, charge_id, -amount FROM ledger_ledgerentry WHERE transaction_id = t.id
              EXCEPT ALL SELECT account, charge_id, amount FROM ledger_ledgerentry WHERE transaction_id = t.reverses_id)
             UNION ALL
             (SELECT account, charge_id, amount FROM ledger_ledgerentry WHERE transaction_id = t.reverses_id
              EXCEPT ALL SELECT account, charge_id, -amount FROM ledger_ledgerentry WHERE transaction_id = t.id))""",
    ),
    Check(
        "2",
        "A charge's kept balance is the sum of its entries",
        "SELECT count(*) FROM ledger_balance",
        """WITH s AS (SELECT charge_id, coalesce(sum(amount) FILTER (WHERE account = 'ar_insurance'), 0) i,
                             coalesce(sum(amount) FILTER (WHERE account = 'ar_patient'), 0) p
                        FROM ledger_ledgerentry WHERE charge_id IS NOT NULL AND account IN ('ar_insurance', 'ar_patient') GROUP BY charge_id)
           SELECT coalesce(s.charge_id, b.charge_id), 'kept ' || coalesce(b.insurance, 0) || '/' || coalesce(b.patient, 0) || ', entries ' || coalesce(s.i, 0) || '/' || coalesce(s.p, 0)
             FROM s FULL JOIN ledger_balance b USING (charge_id) WHERE coalesce(s.i, 0) <> coalesce(b.insurance, 0) OR coalesce(s.p, 0) <> coalesce(b.patient, 0)""",
    ),
    Check(
        "3",
        "Every cent of a posted remittance is on claims, the provider account or unapplied cash,"
        " and equals the check",
        "SELECT count(*) FROM remittance_remittance WHERE status = 'posted'",
        """SELECT r.id, 'check ' || r.amount || ', cash posted ' || coalesce(sum(e.amount), 0) FROM remittance_remittance r
             LEFT JOIN ledger_ledgerentry e ON e.remittance_id = r.id AND e.account = 'cash'
            WHERE r.status = 'posted' GROUP BY r.id, r.amount HAVING coalesce(sum(e.amount), 0) <> r.amount""",
    ),
    Check(
        "3b",
        "Claims less provider adjustments equal the check of every remittance that may post",
        "SELECT count(*) FROM remittance_remittance WHERE status <> 'quarantined'",
        """SELECT r.id, 'check ' || r.amount || ', claims ' || coalesce(c.paid, 0) || ', PLB ' || coalesce(p.amount, 0) FROM remittance_remittance r
             LEFT JOIN (SELECT remittance_id, sum(paid) paid FROM remittance_claimpayment GROUP BY 1) c ON c.remittance_id = r.id
             LEFT JOIN (SELECT remittance_id, sum(amount) amount FROM remittance_provideradjustment GROUP BY 1) p ON p.remittance_id = r.id
            WHERE r.status <> 'quarantined' AND coalesce(c.paid, 0) - coalesce(p.amount, 0) <> r.amount""",
    ),
    Check(
        "Q3",
        "Every remittance says what the stored bytes say: check number and amount",
        "SELECT count(*) FROM remittance_remittance WHERE source = '835' AND interchange_id IS NOT"
        " NULL AND status <> 'quarantined'",
        # the element separator is the 4th character of an interchange, the segment terminator the
        # 106th. Materialized: without it the planner unpacks the whole file again for each segment.
        r"""WITH files AS MATERIALIZED (SELECT i.id, substr(t.body, 4, 1) AS element, substr(t.body, 106, 1) AS terminator, t.body FROM exchange_interchange i,
                LATERAL (SELECT ltrim(convert_from(i.content, 'LATIN1'), E'\ufeff \r\n') AS body) t
               WHERE i.id IN (SELECT interchange_id FROM remittance_remittance WHERE source = '835')),
             said AS (SELECT f.id, s.ord, string_to_array(btrim(s.segment, E' \r\n'), f.element) AS e
                        FROM files f, unnest(string_to_array(f.body, f.terminator)) WITH ORDINALITY AS s(segment, ord)
                       WHERE btrim(s.segment, E' \r\n') LIKE 'BPR' || f.element || '%' OR btrim(s.segment, E' \r\n') LIKE 'TRN' || f.element || '1%'),
             checks AS (SELECT id, e, lead(e) OVER (PARTITION BY id ORDER BY ord) AS trn FROM said)
           SELECT r.id, 'kept as ' || r.trace || ' for ' || r.amount FROM remittance_remittance r
            WHERE r.source = '835' AND r.interchange_id IS NOT NULL AND r.status <> 'quarantined' AND NOT EXISTS (
              SELECT 1 FROM checks c WHERE c.id = r.interchange_id AND c.e[1] = 'BPR' AND c.trn[3] = r.trace
                 AND CASE WHEN c.e[3] ~ '^-?[0-9]*[.]?[0-9]+$' THEN c.e[3]::numeric * CASE WHEN c.e[4] = 'D' THEN -1 ELSE 1 END END = r.amount)""",
    ),
    Check(
        "4",
        "No effect happened twice: effect keys, received files, payments",
        "SELECT (SELECT count(*) FROM ledger_ledgertransaction) + (SELECT count(*) FROM"
        " exchange_interchange) + (SELECT count(*) FROM remittance_remittance)",
        """SELECT min(id), 'effect key twice' FROM ledger_ledgertransaction GROUP BY organization_id, effect_key HAVING count(*) > 1
           UNION ALL SELECT min(id), 'same bytes twice' FROM exchange_interchange WHERE direction = 'in' GROUP BY organization_id, kind, sha256 HAVING count(*) > 1
           UNION ALL SELECT min(id), 'same payment twice' FROM remittance_remittance GROUP BY organization_id, trace, payer_ref, occurrence HAVING count(*) > 1
           UNION ALL SELECT min(id), 'same bank credit twice' FROM remittance_deposit GROUP BY organization_id, deposited_on, reference, amount, occurrence HAVING count(*) > 1""",
    ),
    Check(
        "5",
        "No professional or global charge is released without a final signed report",
        "SELECT count(*) FROM charges_charge WHERE status IN ('released', 'billed', 'self_pay') AND"
        " component IN ('', '26')",
        """SELECT c.id, c.code || ' without final report' FROM charges_charge c JOIN charges_exam x ON x.id = c.exam_id
            WHERE c.status IN ('released', 'billed', 'self_pay') AND c.component IN ('', '26')
              AND NOT EXISTS (SELECT 1 FROM charges_report r WHERE r.exam_id = x.id AND r.status IN ('F', 'C') AND r.signed_at IS NOT NULL)""",
    ),
    Check(
        "6",
        "Every completed exam is charged, reasoned no-bill, or visibly held",
        "SELECT count(*) FROM charges_exam WHERE status <> 'in_progress'",
        """SELECT x.id, 'exam ' || x.status || ' is unexplained' FROM charges_exam x
            WHERE (x.status = 'released' AND NOT EXISTS (SELECT 1 FROM charges_charge c WHERE c.exam_id = x.id AND c.status <> 'void'))
               OR (x.status = 'no_bill' AND x.no_bill_reason = '')
               OR (x.status IN ('final', 'coded') AND jsonb_array_length(x.holds) = 0
                   AND NOT EXISTS (SELECT 1 FROM worklist_workitem w WHERE w.exam_id = x.id AND w.status IN ('open', 'pended')))""",
    ),
    Check(
        "6c",
        "Every charge is on a live claim, on hold with an owner, self-pay or no-bill",
        "SELECT count(*) FROM charges_charge WHERE status IN ('released', 'billed')",
        # a live claim asks a payer for money: not void, not replaced, not itself a void. A charge
        # whose event is still on its way, or that goes with a correction that waits for the
        # payer's answer, is on its way to one.
        """SELECT c.id, '$' || c.amount || ', ' || c.code || ' is on no live claim and with nobody'
             FROM charges_charge c
            WHERE c.status IN ('released', 'billed') AND c.bill_as = 'ours'
              AND NOT EXISTS (SELECT 1 FROM claims_claimline l JOIN claims_claim cl ON cl.id = l.claim_id
                               WHERE l.charge_id = c.id AND cl.status NOT IN ('void', 'replaced') AND cl.frequency <> '8')
              AND NOT EXISTS (SELECT 1 FROM worklist_workitem w WHERE w.subject_type = 'exam_claim' AND w.subject_id = c.exam_id
                               AND w.status IN ('open', 'pended'))
              AND NOT EXISTS (SELECT 1 FROM exchange_outbox o WHERE o.delivered_at IS NULL AND o.parked_at IS NULL
                               AND o.topic IN ('charges.released', 'charges.changed')
                               AND (o.payload->'charge_ids' @> to_jsonb(c.id) OR o.payload->'new' @> to_jsonb(c.id)))
              AND NOT EXISTS (SELECT 1 FROM charges_charge s JOIN claims_claimline l ON l.charge_id = s.id JOIN claims_claim cl ON cl.id = l.claim_id
                               WHERE s.exam_id = c.exam_id AND cl.status NOT IN ('void', 'replaced') AND cl.extra ? 'correct')""",
    ),
    Check(
        "6f",
        "No charge leaves under another code than report and modality say without words of the"
        " report and a second person's look",
        "SELECT count(*) FROM charges_exam WHERE decision->>'code' <> ''",
        """SELECT x.id, 'billed ' || (x.decision->>'code') || ', performed ' || (x.suggestion->>'code') FROM charges_exam x
            WHERE coalesce(x.suggestion->>'code', '') <> '' AND coalesce(x.decision->>'code', '') <> '' AND x.decision->>'code' <> x.suggestion->>'code'
              AND (coalesce(x.decision->>'evidence', '') = '' OR coalesce(x.decision->'second'->>'by', '') IN ('', x.decision->>'by'))
              AND EXISTS (SELECT 1 FROM charges_charge c WHERE c.exam_id = x.id AND c.status <> 'void' AND c.code = x.decision->>'code')""",
    ),
    Check(
        "7",
        "Every claim sent is accepted, rejected, or counted as missing",
        "SELECT count(*) FROM claims_submissionclaim",
        """SELECT s.id, 'counts ' || s.claims_count || ' but holds ' || count(c.id) FROM claims_submission s
             LEFT JOIN claims_submissionclaim c ON c.submission_id = s.id GROUP BY s.id, s.claims_count HAVING count(c.id) <> s.claims_count
           UNION ALL SELECT id, 'unknown state ' || state FROM claims_submissionclaim WHERE state NOT IN ('waiting', 'accepted', 'rejected', 'missing')""",
    ),
    Check(
        "8",
        "Every open insurance dollar on a claim has a home: in flight, or a work item with a date",
        "SELECT count(*) FROM ledger_balance WHERE insurance <> 0",
        """SELECT cl.id, 'claim ' || cl.status || ' open without a home' FROM claims_claim cl
            WHERE cl.status IN ('blocked', 'rejected', 'denied', 'partial')
              AND EXISTS (SELECT 1 FROM claims_claimline l JOIN ledger_balance b ON b.charge_id = l.charge_id WHERE l.claim_id = cl.id AND b.insurance > 0)
              AND NOT EXISTS (SELECT 1 FROM worklist_workitem w WHERE w.claim_id = cl.id AND w.status IN ('open', 'pended'))
              AND NOT EXISTS (SELECT 1 FROM claims_claim n WHERE n.replaces_id = cl.id AND n.status <> 'void')
              AND NOT EXISTS (SELECT 1 FROM claims_claim n WHERE n.primary_claim_id = cl.id AND n.status <> 'void')
              AND NOT EXISTS (SELECT 1 FROM remittance_denial d WHERE d.claim_id = cl.id AND d.status IN ('corrected', 'appealed', 'parked'))""",
    ),
    Check(
        "6b",
        "Every override of a gate stands in the managers' report with its dollars, as its event"
        " says",
        "SELECT count(*) FROM audit_event WHERE verb = 'gate.overridden'",
        """SELECT e.id, 'event without its override, $' || coalesce(e.data->>'dollars', '?') FROM audit_event e
            WHERE e.verb = 'gate.overridden' AND NOT EXISTS (
              SELECT 1 FROM intake_gateoverride o WHERE o.appointment_id = (e.data->>'appointment_id')::bigint AND o.gate = e.data->>'gate'
                 AND o.at = e.at AND o.dollars = (e.data->>'dollars')::numeric)
           UNION ALL
           SELECT o.id, 'gate says ready or open, but its override has not ended' FROM intake_gateoverride o
             JOIN intake_appointment a ON a.id = o.appointment_id
            WHERE a.status IN ('booked', 'confirmed', 'arrived') AND NOT coalesce((a.gates->o.gate->>'overridden')::boolean, false)
              AND NOT EXISTS (SELECT 1 FROM intake_gateoverrideend n WHERE n.override_id = o.id)""",
    ),
    Check(
        "8b",
        "Every open balance is in a queue or rests for a reason: with the payer, appealed, parked,"
        " on a plan, between statements",
        "SELECT count(*) FROM ledger_balance WHERE insurance > 0 OR patient > 0",
        """WITH worked AS (SELECT subject_type, subject_id, claim_id, exam_id FROM worklist_workitem WHERE status IN ('open', 'pended')),
                carried AS (SELECT l.charge_id, k.id, k.status FROM claims_claimline l JOIN claims_claim k ON k.id = l.claim_id)
           SELECT c.id, '$' || b.insurance || ' with insurance is nowhere' FROM ledger_balance b JOIN charges_charge c ON c.id = b.charge_id
            WHERE b.insurance > 0 AND coalesce(c.released_at, c.created_at) < now() - interval '6 days'
              AND NOT EXISTS (SELECT 1 FROM carried k WHERE k.charge_id = c.id
                                 AND (k.status IN ('draft', 'ready', 'submitted', 'acknowledged', 'accepted') OR k.id IN (SELECT claim_id FROM worked)))
              AND NOT EXISTS (SELECT 1 FROM worked w WHERE w.claim_id IS NULL AND w.exam_id = c.exam_id)
              AND NOT EXISTS (SELECT 1 FROM worked w WHERE w.subject_type IN ('charge', 'credit') AND w.subject_id = c.id)
              AND NOT EXISTS (SELECT 1 FROM remittance_denial d JOIN claims_claimline l ON l.id = d.line_id
                               WHERE l.charge_id = c.id AND d.status IN ('appealed', 'parked'))
           UNION ALL
           SELECT c.id, '$' || b.patient || ' of the patient is nowhere' FROM ledger_balance b JOIN charges_charge c ON c.id = b.charge_id
             JOIN intake_patient p ON p.id = c.patient_id
            WHERE b.patient > 0
              AND (p.deceased_on IS NOT NULL OR EXISTS (SELECT 1 FROM ar_accounthold h WHERE h.patient_id = p.id AND h.lifted_at IS NULL
                     AND h.kind <> 'agency' AND (h.charge_id IS NULL OR h.charge_id = c.id)))
              AND NOT EXISTS (SELECT 1 FROM ar_accounthold h WHERE h.charge_id = c.id AND h.kind = 'agency' AND h.lifted_at IS NULL)
              AND NOT EXISTS (SELECT 1 FROM worked w WHERE w.subject_type = 'patient_account' AND w.subject_id = p.id)
              AND NOT EXISTS (SELECT 1 FROM ar_paymentplan a WHERE a.patient_id = p.id AND a.status = 'active')""",
    ),
    Check(
        "9",
        "No write-off without reason, maker, checker above the limit, and contact",
        "SELECT count(*) FROM ar_writeoffrequest WHERE status = 'approved'",
        """SELECT w.id, 'write-off breaks governance' FROM ar_writeoffrequest w JOIN accounts_organization o ON o.id = w.organization_id
            WHERE w.status = 'approved' AND (w.reason = '' OR w.transaction_id IS NULL
               OR (w.amount > o.write_off_limit AND (w.decided_by_id IS NULL OR w.decided_by_id = w.requested_by_id))
               OR (w.reason NOT IN ('small_balance', 'charity', 'courtesy') AND w.contact_id IS NULL))
           UNION ALL
           SELECT t.id, 'write-off posted without a request' FROM ledger_ledgertransaction t JOIN ledger_ledgerentry e ON e.transaction_id = t.id
            WHERE e.account IN ('denial_writeoff', 'bad_debt', 'small_balance', 'charity') AND t.reverses_id IS NULL
              AND NOT EXISTS (SELECT 1 FROM ar_writeoffrequest w WHERE w.transaction_id = t.id)""",
    ),
    Check(
        "9b",
        "No person, day, reason or charge splits a write-off above the limit into smaller ones",
        "SELECT count(*) FROM ar_writeoffrequest WHERE status = 'approved' AND decided_by_id IS"
        " NULL",
        """WITH w AS (
             SELECT r.id, r.amount, r.requested_at, r.decided_by_id, r.status, coalesce(r."limit", o.write_off_limit) AS top,
                    coalesce(p.merged_into_id, p.id) AS person
               FROM ar_writeoffrequest r
               JOIN accounts_organization o ON o.id = r.organization_id
               JOIN charges_charge c ON c.id = r.charge_id
               JOIN intake_patient p ON p.id = c.patient_id
              WHERE r.status IN ('requested', 'approved'))
           SELECT w.id, '$' || w.amount || ' posted alone, $' || sum(n.amount) || ' within a year'
             FROM w JOIN w n ON n.person = w.person AND n.id <= w.id AND n.requested_at <= w.requested_at
                            AND n.requested_at > w.requested_at - interval '365 days'
            WHERE w.status = 'approved' AND w.decided_by_id IS NULL
            GROUP BY w.id, w.amount, w.top HAVING sum(n.amount) > w.top""",
    ),
    Check(
        "9c",
        "Nothing is with the collection agency under another hold, in a plan, with insurance open, or"
        " without its file; and what the agency collected stands in the ledger less its fee",
        "SELECT count(*) FROM ar_placement WHERE status = 'placed'",
        """WITH placed AS (SELECT p.id, p.charge_id, p.batch_id, c.patient_id, c.exam_id FROM ar_placement p JOIN charges_charge c ON c.id = p.charge_id
                            WHERE p.status = 'placed')
           SELECT p.id, 'with the agency while on hold: ' || h.kind FROM placed p JOIN ar_accounthold h ON h.patient_id = p.patient_id
            WHERE h.lifted_at IS NULL AND h.kind <> 'agency' AND (h.charge_id IS NULL OR h.charge_id = p.charge_id) AND h.begins_at < now() - interval '1 day'
           UNION ALL
           SELECT p.id, 'with the agency, and the patient has died' FROM placed p JOIN intake_patient i ON i.id = p.patient_id
            WHERE i.deceased_on < current_date - 1
           UNION ALL
           SELECT p.id, 'with the agency without its hold or its file' FROM placed p JOIN ar_agencybatch b ON b.id = p.batch_id
            WHERE b.interchange_id IS NULL OR NOT EXISTS (SELECT 1 FROM ar_accounthold h WHERE h.charge_id = p.charge_id AND h.kind = 'agency' AND h.lifted_at IS NULL)
           UNION ALL
           SELECT p.id, 'with the agency while a plan is kept' FROM placed p JOIN ar_planexam e ON e.exam_id = p.exam_id
             JOIN ar_paymentplan a ON a.id = e.plan_id WHERE a.status = 'active' AND a.created_at < now() - interval '1 day'
           UNION ALL
           SELECT m.id, 'agency payment differs from its entries' FROM ar_agencypayment m
            WHERE m.collected <> (SELECT coalesce(-sum(e.amount), 0) FROM ledger_ledgerentry e WHERE e.transaction_id = m.transaction_id AND e.account = 'ar_patient')
               OR m.fee <> (SELECT coalesce(sum(e.amount), 0) FROM ledger_ledgerentry e WHERE e.transaction_id = m.transaction_id AND e.account = 'collection_fee')""",
    ),
    Check(
        "10",
        "No patient owes what a rule forbids: our own duty (authorization, filing, duplicate,"
        " bundling), or the payer's word that nothing may be collected",
        "SELECT count(*) FROM ledger_balance WHERE patient > 0",
        """SELECT d.id, 'patient owes ' || b.patient || ' after a denial for ' || d.category
             FROM remittance_denial d JOIN claims_claimline l ON l.id = d.line_id
             JOIN ledger_balance b ON b.charge_id = l.charge_id
            WHERE d.category IN ('prior_auth', 'timely_filing', 'duplicate', 'bundling')
              AND d.status NOT IN ('overturned', 'partial', 'withdrawn') AND b.patient > 0
              AND NOT (d.category = 'duplicate' AND EXISTS (
                    SELECT 1 FROM remittance_servicepayment s JOIN remittance_claimpayment p ON p.id = s.payment_id
                      JOIN claims_claimline o ON o.id = s.line_id
                     WHERE o.charge_id = l.charge_id AND p.state = 'posted' AND s.paid > 0 AND p.id <> d.payment_id))
           UNION ALL
           SELECT p.id, 'patient owes ' || b.patient || ' although the payer forbids it'
             FROM remittance_servicepayment s JOIN remittance_claimpayment p ON p.id = s.payment_id
             JOIN claims_claimline l ON l.id = s.line_id JOIN ledger_balance b ON b.charge_id = l.charge_id
            WHERE p.state = 'posted' AND b.patient > 0
              AND (s.remarks || p.remarks) ?| array['N781', 'N782', 'N783', 'M27', 'M39']
           UNION ALL
           SELECT p.id, 'patient owes ' || b.patient || ' although the payer forbids it (' || a.reason || ')'
             FROM remittance_adjustment a JOIN remittance_claimpayment p ON p.id = a.payment_id
             JOIN remittance_servicepayment s ON s.id = a.service_id
             JOIN claims_claimline l ON l.id = s.line_id JOIN ledger_balance b ON b.charge_id = l.charge_id
            WHERE p.state = 'posted' AND b.patient > 0 AND a.reason IN ('209', '303')""",
    ),
    Check(
        "10b",
        "A refund goes to a payer that has paid on the charge",
        "SELECT count(*) FROM ar_refund WHERE status = 'approved'",
        """SELECT r.id, 'refund of ' || r.amount || ' to a payer that paid nothing here' FROM ar_refund r
            WHERE r.status = 'approved' AND r."to" = 'payer' AND NOT EXISTS (
              SELECT 1 FROM ledger_ledgerentry e WHERE e.charge_id = r.charge_id AND e.payer_id = r.payer_id
                 AND e.account = 'ar_insurance' AND e.amount < 0)""",
    ),
    Check(
        "10c",
        "What was paid on a corrected charge stands on the one that replaced it",
        "SELECT count(*) FROM charges_charge WHERE status = 'void'",
        """SELECT c.id, 'a void charge keeps ' || b.insurance || '/' || b.patient FROM charges_charge c
             JOIN ledger_balance b ON b.charge_id = c.id AND (b.insurance <> 0 OR b.patient <> 0)
            WHERE c.status = 'void' AND EXISTS (
              SELECT 1 FROM charges_charge n WHERE n.replaces_id = c.id AND n.status IN ('released', 'billed', 'self_pay'))""",
    ),
    Check(
        "11",
        "Every tenant table is under forced row-level security, and the role of the product is"
        " bound by it",
        "SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p') AND relrowsecurity",
        """SELECT c.oid::bigint, c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'organization_id' AND NOT a.attisdropped
            WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
              AND c.relname NOT IN ('accounts_organization', 'accounts_site', 'accounts_membership', 'accounts_partner', 'accounts_invitation')
           UNION ALL SELECT oid::bigint, rolname::text FROM pg_roles WHERE rolname = current_user AND (rolsuper OR rolbypassrls)
           UNION ALL SELECT oid::bigint, relname::text FROM pg_class WHERE relowner = (SELECT oid FROM pg_roles WHERE rolname = current_user)
                      AND relnamespace = 'public'::regnamespace""",
    ),
    Check(
        "12",
        "Reads of charts are logged with a reader and a purpose",
        "SELECT count(*) FROM audit_access",
        "SELECT id, 'no reader or purpose' FROM audit_access WHERE actor_name = '' OR purpose = ''",
    ),
    Check(
        "12b",
        "A read of a chart carries the name of whoever was signed in",
        "SELECT count(*) FROM audit_access WHERE author ~ '^(person|partner):'",
        """SELECT id, 'told ' || actor_name || ', signed in ' || author FROM audit_access
            WHERE author ~ '^(person|partner):'
              AND author <> left(actor_kind || ':' || coalesce(user_id::text, '') || ':' || actor_name, 200)""",
    ),
    Check(
        "12c",
        "The log's seals follow one another and each stands on the one before",
        "SELECT count(*) FROM audit_seal",
        """SELECT id, 'link ' || number || ' does not follow' FROM (
             SELECT id, number, previous, row_number() OVER w AS place, lag(digest) OVER w AS before
               FROM audit_seal WINDOW w AS (ORDER BY number)) s
            WHERE number <> place OR previous <> coalesce(before, ''::bytea)""",
    ),
    Check(
        "12d",
        "What was logged below a seal is in a seal",
        "SELECT coalesce(sum(count), 0) FROM audit_seal",
        """SELECT s.seal, s.table_name || ' has ' || s.there || ' rows there, its seals ' || s.sealed FROM (
             SELECT max(id) AS seal, table_name, sum(count) AS sealed,
                    CASE table_name
                      WHEN 'audit_change' THEN (SELECT count(*) FROM audit_change WHERE tx < max(upto_tx))
                      WHEN 'audit_event' THEN (SELECT count(*) FROM audit_event WHERE tx < max(upto_tx))
                      ELSE (SELECT count(*) FROM audit_access WHERE tx < max(upto_tx)) END AS there
               FROM audit_seal GROUP BY table_name) s WHERE s.there <> s.sealed""",
    ),
    Check(
        "Q4",
        "Authorization units used equal the exams that used them",
        "SELECT count(*) FROM authorizations_authorizedservice",
        """SELECT s.id, 'used ' || s.used || ', exams ' || coalesce(sum(u.units), 0) FROM authorizations_authorizedservice s
             LEFT JOIN authorizations_authorizationuse u ON u.service_id = s.id GROUP BY s.id, s.used HAVING s.used <> coalesce(sum(u.units), 0)""",
    ),
    Check(
        "14",
        "No remittance that may post is paid to another organization of this office",
        "SELECT count(*) FROM remittance_remittance WHERE status <> 'quarantined' AND source = '835'",
        """SELECT r.id, 'pays ' || o.name FROM remittance_remittance r
             JOIN accounts_organization o ON o.id <> r.organization_id
              AND (o.npi = r.payee_npi OR EXISTS (SELECT 1 FROM accounts_site s
                    WHERE s.organization_id = o.id AND s.npi = r.payee_npi))
            WHERE r.status <> 'quarantined' AND r.source = '835' AND r.payee_npi <> ''
              AND NOT EXISTS (SELECT 1 FROM accounts_organization own
                    WHERE own.id = r.organization_id AND own.npi = r.payee_npi)
              AND NOT EXISTS (SELECT 1 FROM accounts_site own
                    WHERE own.organization_id = r.organization_id AND own.npi = r.payee_npi)""",
    ),
    Check(
        "15",
        "Every set (ST) of every received X12 file has an outcome",
        "SELECT count(*) FROM exchange_receivedset",
        f"""{WIRE}
           SELECT w.id, 'the ' || w.e[2] || ' at segment ' || w.position || ' has no outcome'
             FROM wire w WHERE w.e[1] = 'ST' AND NOT EXISTS (SELECT 1 FROM exchange_receivedset s
                    WHERE s.interchange_id = w.id AND s.position = w.position)
           UNION ALL
           SELECT i.id, 'an X12 file of the kind ' || i.kind || ' without any outcome'
             FROM exchange_interchange i WHERE i.direction = 'in' AND i.status = 'processed'
              AND i.kind IN ('835', '999', '277CA', '277', '271', '278')
              AND NOT EXISTS (SELECT 1 FROM exchange_receivedset s WHERE s.interchange_id = i.id)""",  # noqa: S608
    ),
    Check(
        "15b",
        "Every 835 set that was read or held is a remittance, and every one that was refused as"
        " known has its first",
        "SELECT count(*) FROM exchange_receivedset WHERE kind = '835'",
        """SELECT s.id, '835 at segment ' || s.position || ' is ' || s.outcome || ' but no remittance'
             FROM exchange_receivedset s
            WHERE s.kind = '835' AND s.outcome IN ('read', 'held')
              AND NOT EXISTS (SELECT 1 FROM remittance_remittance r
                    WHERE r.interchange_id = s.interchange_id AND r.segment_start = s.position)
              AND NOT EXISTS (SELECT 1 FROM exchange_interchange i JOIN audit_event e
                      ON e.interchange_id = i.id AND e.verb = 'remittance.quarantined'
                    WHERE i.id = s.interchange_id AND s.outcome = 'held')
           UNION ALL
           SELECT s.id, '835 at segment ' || s.position || ' was refused as known, nothing tells it'
             FROM exchange_receivedset s WHERE s.kind = '835' AND s.outcome = 'repeated'
              AND NOT EXISTS (SELECT 1 FROM audit_event e WHERE e.interchange_id = s.interchange_id
                    AND e.verb = 'remittance.repeated')""",
    ),
    Check(
        "15c",
        "Every claim (CLP) and every provider-level amount (PLB) of a taken 835 stands in its"
        " remittance",
        "SELECT count(*) FROM remittance_claimpayment",
        f"""{WIRE},
             said AS (SELECT id, st, count(*) FILTER (WHERE e[1] = 'CLP') AS claims,
                             coalesce(sum((array_length(e, 1) - 2) / 2) FILTER (WHERE e[1] = 'PLB'), 0)
                             AS withheld FROM wire GROUP BY id, st)
           SELECT r.id, 'the file says ' || s.claims || ' claims and ' || s.withheld
                  || ' provider-level amounts'
             FROM remittance_remittance r
             JOIN said s ON s.id = r.interchange_id AND s.st = r.segment_start
            WHERE r.status <> 'quarantined'
              AND (s.claims <> (SELECT count(*) FROM remittance_claimpayment p
                                 WHERE p.remittance_id = r.id)
                OR s.withheld <> (SELECT count(*) FROM remittance_provideradjustment a
                                   WHERE a.remittance_id = r.id))""",  # noqa: S608
    ),
    Check(
        "Q5",
        "What a visit counts as paid is what its receipts hold, less what was given back",
        "SELECT count(*) FROM ar_patientpayment WHERE appointment_id IS NOT NULL",
        """WITH held AS (SELECT p.id, p.organization_id, p.receipt, CASE WHEN p.voided_at IS NULL THEN p.amount - p.refunded ELSE 0 END AS amount
                           FROM ar_patientpayment p WHERE p.appointment_id IS NOT NULL),
                counted AS (SELECT m.organization_id, m.receipt, min(m.id) AS id, sum(m.amount) AS amount FROM intake_visitmoney m
                             WHERE m.kind = 'paid' AND m.ended_at IS NULL GROUP BY 1, 2)
           SELECT coalesce(h.id, c.id), 'receipt holds ' || coalesce(h.amount, 0) || ', visit counts ' || coalesce(c.amount, 0)
             FROM held h FULL JOIN counted c USING (organization_id, receipt) WHERE coalesce(h.amount, 0) <> coalesce(c.amount, 0)""",
    ),
    Check(
        "16",
        "What the ledger holds as unapplied money of remittances is what somebody is asked about",
        "SELECT count(*) FROM remittance_unappliedcash WHERE resolved_at IS NULL",
        """SELECT o.id, 'ledger ' || l.held || ', open ' || c.open FROM accounts_organization o,
             LATERAL (SELECT coalesce(-sum(e.amount), 0) AS held FROM ledger_ledgerentry e
                       WHERE e.organization_id = o.id AND e.account = 'unapplied'
                         AND e.remittance_id IS NOT NULL) l,
             LATERAL (SELECT coalesce(sum(u.amount), 0) AS open FROM remittance_unappliedcash u
                       WHERE u.organization_id = o.id AND u.resolved_at IS NULL) c
            WHERE l.held <> c.open""",
    ),
    Check(
        "21",
        "Each receipt of a patient is in the cash account once, to the cent",
        "SELECT count(*) FROM ar_patientpayment",
        """SELECT p.id, 'receipt ' || p.amount || ', cash ' || coalesce(c.amount, 0)
             FROM ar_patientpayment p
             LEFT JOIN LATERAL (SELECT sum(e.amount) AS amount FROM ledger_ledgerentry e
                  WHERE e.transaction_id = p.transaction_id AND e.account = 'cash') c ON true
            WHERE coalesce(c.amount, 0) <> p.amount""",
    ),
    Check(
        "22",
        "No plan is paid beyond its total, and only by its own patient",
        "SELECT count(*) FROM ar_paymentplan",
        """SELECT l.id, 'paid ' || sum(p.amount - p.refunded) || ' of ' || l.total
             FROM ar_paymentplan l JOIN ar_patientpayment p ON p.plan_id = l.id
            WHERE p.voided_at IS NULL GROUP BY l.id
           HAVING sum(p.amount - p.refunded) > l.total
               OR bool_or(p.patient_id <> l.patient_id)""",
    ),
    Check(
        "23",
        "Money on no claim that went elsewhere left the books once, to a payer by two persons",
        "SELECT count(*) FROM remittance_cashreturn WHERE status = 'sent'",
        """SELECT r.id, 'sent ' || r.amount || ', booked ' || coalesce(l.amount, 0)
             FROM remittance_cashreturn r
             LEFT JOIN LATERAL (SELECT sum(e.amount) AS amount FROM ledger_ledgerentry e
                  WHERE e.transaction_id = r.transaction_id AND e.account = 'unapplied'
                    AND e.remittance_id IS NOT NULL) l ON true
            WHERE r.status = 'sent'
              AND (coalesce(l.amount, 0) <> r.amount
                OR (r.to = 'payer' AND (r.reference = '' OR r.decided_by_id IS NULL
                                     OR r.decided_by_id = r.requested_by_id)))""",
    ),
    Check(
        "17",
        "Every denial that was settled has the day on which it was",
        "SELECT count(*) FROM remittance_denial WHERE status IN ('overturned', 'partial', 'upheld', 'written_off')",
        """SELECT id, status FROM remittance_denial
            WHERE status IN ('overturned', 'partial', 'upheld', 'written_off')
              AND resolved_on IS NULL""",
    ),
    Check(
        "19",
        "Nothing is left on a chart that was merged into another: no row, no money on account",
        "SELECT count(*) FROM intake_patient WHERE merged_into_id IS NOT NULL",
        HANGING,
    ),
    Check(
        "18",
        "Every report is the file that was made, and every closed month has its own",
        "SELECT count(*) FROM ar_report",
        """SELECT r.id, 'not the file that was made' FROM ar_report r
            WHERE encode(sha256(r.pdf), 'hex') <> r.sha256
           UNION ALL
           SELECT m.id, 'report of another month' FROM ar_monthclose m
             JOIN ar_report r ON r.id = m.report_id
            WHERE r.kind <> 'monthly' OR r.first <> m.month""",
    ),
)


@dataclass(frozen=True, slots=True)
class Proof:
    """The outcome of one check for one organization."""

    organization: str
    check: Check
    looked: int
    breaches: list[tuple[int, str]]
    total: int


def prove(organizations: Iterable[Organization] | None = None, *, show: int = 5) -> list[Proof]:
    """Run every check for each organization. `breaches` holds at most `show` rows; `total` counts
    all.
    """
    out: list[Proof] = []
    for organization in (
        organizations if organizations is not None else Organization.objects.order_by("code")
    ):
        with scope(Actor.system("prove", [organization.pk])), connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = '10min'")
            for check in CHECKS:
                cursor.execute(check.looked)
                looked = cursor.fetchone()[0]
                cursor.execute(f"SELECT count(*) FROM ({check.breaches}) AS broken")  # noqa: S608
                total = cursor.fetchone()[0]
                rows: list[tuple[int, str]] = []
                if total:
                    cursor.execute(check.breaches)
                    rows = [(int(key), str(words)) for key, words in cursor.fetchmany(show)]
                out.append(Proof(organization.code, check, looked, rows, total))
    return out
