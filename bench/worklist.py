"""The queue page and "work next" at 10,000, 100,000 and a million open items, beside the bare
indexed query, and how they grow.

    python bench/worklist.py [SIZES…]

Printed for each size, in milliseconds (median of 7): the bare query for 50 rows by the index; the
list's own page query; the rows fragment a filter or page link asks for; the whole page with panel,
tabs and figures; page 1,000 by its cursor; "work next"; and its bare form.
"""

from __future__ import annotations

import sys

sys.path[:0] = [__file__.rsplit("/bench/", 1)[0]]
from bench.scratch import database, median, prepare  # noqa: E402

if __name__ == "__main__":
    prepare("bench_worklist")

INSERT = """
INSERT INTO worklist_workitem (public_id, created_at, queue, subject_type, subject_id, cause, tags, title, fix, status, site_id, patient_name, payer_id,
  payer_name, dollars, due_at, deadline_on, score, lease_token, next_action, touches, opened_at, outcome, version, facts, organization_id)
SELECT gen_random_uuid(), now(), 'bench', 'bench', n, CASE n % 3 WHEN 0 THEN 'silent' WHEN 1 THEN 'auth' ELSE 'timely' END, '{{}}', 'Silent for ' || n % 200 || ' days',
  'Ask', 'open', {site}, 'Sample, Patient ' || n, 1 + n % 8, 'Payer ' || n % 8, (n::bigint * 7919 % 200000) / 100.0, now() + (n % 400 - 200) * interval '1 day',
  CASE WHEN n % 20 = 0 THEN NULL ELSE current_date + (n::bigint * 31 % 365)::int END, (n::bigint * 7919 % 200000) / 250.0, 0, '', 0, now() - (n % 90) * interval '1 day', '', 0,
  jsonb_build_object('claim', 'C' || n, 'mrn', 'M' || n, 'exam', '74178', 'modality', CASE n % 2 WHEN 0 THEN 'CT' ELSE 'MR' END), {organization}
  FROM generate_series({first}, {last}) n
"""
BARE = """SELECT * FROM worklist_workitem WHERE organization_id = %s AND queue = 'bench' AND status = 'open' ORDER BY sort_day, sort_cents, id LIMIT 51"""
BARE_NEXT = """SELECT id FROM worklist_workitem WHERE organization_id = %s AND queue = 'bench' AND status = 'open' AND lease_until IS NULL
               ORDER BY sort_day, sort_cents, id LIMIT 1 FOR UPDATE SKIP LOCKED"""


def main(sizes: list[int]) -> None:
    from django.core.cache import cache
    from django.db import connection, transaction
    from django.test import Client

    from rcm.accounts.scope import scope
    from rcm.web import keyset
    from rcm.worklist import registry, services
    from rcm.worklist.models import WorkItem
    from rcm.worklist.pages import ORDERS, items

    registry.register(
        registry.Queue("bench", "Bench", "Receivables", "work.view", 99, "Nothing is left.")
    )
    with database() as (cast, owner):
        client = Client()
        client.force_login(
            cast.user("mia"), backend="allauth.account.auth_backends.AuthenticationBackend"
        )
        actor = cast.actor("mia")
        keys = [keyset.Key.of(k) for k in ORDERS[0].keys]
        have = 0
        base: dict[str, float] = {}
        print(
            f"{'items':>9} {'bare':>7} {'query':>7} {'ratio':>6} {'rows':>7} {'page':>7}"
            f" {'p.1000':>7} {'next':>7} {'bare':>7} {'ratio':>6}"
        )
        for size in sizes:
            owner(
                INSERT.format(
                    site=cast.north.pk, organization=cast.a.pk, first=have + 1, last=size
                ),
                "VACUUM ANALYZE worklist_workitem",
            )
            have = size
            cache.clear()

            def bare() -> None:
                with scope(actor), connection.cursor() as cursor:
                    cursor.execute(BARE, [cast.a.pk])
                    cursor.fetchall()

            def query() -> None:
                with scope(actor):
                    keyset.page(items(actor, "bench").filter(status="open"), ORDERS[0].keys)

            with scope(actor):
                deep = (
                    items(actor, "bench")
                    .filter(status="open")
                    .order_by(*(k.ordering() for k in keys))[min(50_000, size - 100)]
                )
                cursor_text = keyset.encode(keys, deep, False)

            def next_item() -> None:
                with scope(actor):
                    services.work_next(queue="bench", actor=actor)
                    transaction.set_rollback(True)

            def bare_next() -> None:
                with scope(actor), connection.cursor() as cursor:
                    cursor.execute(BARE_NEXT, [cast.a.pk])
                    cursor.fetchall()

            figures = {
                "bare": median(bare),
                "query": median(query),
                "rows": median(
                    lambda: client.get(
                        "/work/bench/?view=all", headers={"HX-Request": "true", "HX-Target": "rows"}
                    )
                ),
                "page": median(lambda: client.get("/work/bench/?view=all")),
                "deep": median(
                    lambda cursor_text=cursor_text: client.get(
                        "/work/bench/",
                        {"view": "all", "cursor": cursor_text},
                        headers={"HX-Request": "true", "HX-Target": "rows"},
                    )
                ),
                "next": median(next_item),
                "bare_next": median(bare_next),
            }
            base = base or figures
            print(
                f"{size:>9,} {figures['bare']:>7.1f} {figures['query']:>7.1f}"
                f" {figures['query'] / figures['bare']:>6.2f} {figures['rows']:>7.1f}"
                f" {figures['page']:>7.1f} {figures['deep']:>7.1f} {figures['next']:>7.1f}"
                f" {figures['bare_next']:>7.1f} {figures['next'] / figures['bare_next']:>6.2f}",
                flush=True,
            )
        print(
            "growth   "
            + ", ".join(f"{k} ×{figures[k] / base[k]:.2f}" for k in figures)
            + f" from {sizes[0]:,} to {sizes[-1]:,}"
        )
        with scope(actor):
            assert WorkItem.objects.count() == sizes[-1]


if __name__ == "__main__":
    main([int(a) for a in sys.argv[1:]] or [10_000, 100_000, 1_000_000])
