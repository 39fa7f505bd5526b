"""The sixteen ways to falsify the log, each done as the database's superuser with its triggers
asleep, and what the verifier answers.
"""

from __future__ import annotations

import json
import time
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from rcm.accounts.scope import scope
from rcm.audit import chain, tasks
from rcm.audit.models import Access, Change, Event, Seal
from rcm.audit.services import Step, record_access, record_steps
from rcm.exchange.models import Connection
from tests import databases

pytestmark = pytest.mark.django_db(transaction=True)


def seal_settled() -> int:
    """Seal after all that runs now has ended: the suite's other worker shares the server, and what
    runs in its database holds the seal back too.
    """
    limit = time.monotonic() + 90
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
        (newest,) = cursor.fetchone()
        while True:
            cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
            if cursor.fetchone()[0] >= newest:
                return chain.seal()
            assert time.monotonic() < limit, "a transaction never ended"
            time.sleep(0.1)


@pytest.fixture
def anchors(tmp_path, settings) -> Path:
    settings.AUDIT_ANCHORS = str(tmp_path / "anchors")
    return Path(settings.AUDIT_ANCHORS)


@pytest.fixture
def log(transactional_db, anchors, request) -> Any:
    """Three kinds of rows in two organizations, sealed twice, anchored after both."""
    from tests.conftest import make_cast

    cast = make_cast()
    for turn in range(2):
        for organization, who in ((cast.a, "ana"), (cast.b, "olga")):
            with scope(cast.actor(who)):
                write(organization, cast.actor(who), turn)
        assert seal_settled() > 0
        chain.anchor()
    return cast


def write(organization: Any, actor: Any, turn: int) -> None:
    record_access(
        organization_id=organization.pk, patient_ids=[1, 2, 3], actor=actor, purpose="chart"
    )
    record_steps(
        [Step(organization.pk, "test.step", f"Step {n} of turn {turn}") for n in range(3)],
        actor=actor,
    )
    row = Connection.objects.create(
        organization=organization, kind="file", name=f"c{turn}", config={}
    )
    row.name = f"changed {turn}"
    row.save()


def tamper(*statements: str) -> None:
    """As whoever owns the machine: superuser, triggers and policies asleep."""
    url = databases.superuser_url()
    assert url, "tampering needs the embedded server"
    with databases.connected(
        databases.in_database(url, connection.settings_dict["NAME"])
    ) as cursor:
        cursor.execute("; ".join(["SET session_replication_role = replica", *statements]))


def answers(**options: Any) -> list[chain.Break]:
    from django.conf import settings

    found = chain.verify(anchors=chain.anchors_in(Path(settings.AUDIT_ANCHORS)), **options)
    return list(found.breaks)


def test_an_untouched_log_is_whole(log) -> None:
    verdict = chain.verify(anchors=chain.anchors_in(Path(log_folder())))
    assert verdict.breaks == ()
    assert verdict.rows == 2 * 2 * (3 + 3 + 2)
    assert verdict.seals == 2 * 2 * 3
    assert verdict.anchors == 4
    out = StringIO()
    call_command("verify_audit", stdout=out)
    assert "The log is what was sealed." in out.getvalue()


def log_folder() -> str:
    from django.conf import settings

    return str(settings.AUDIT_ANCHORS)


FIRST = "(SELECT min(id) FROM {t} WHERE organization_id = (SELECT id FROM accounts_organization WHERE code = 'CANA'))"
LAST = FIRST.replace("min", "max")
B = "(SELECT id FROM accounts_organization WHERE code = 'CANB')"
A = B.replace("CANB", "CANA")


def of(template: str, table: str) -> str:
    return template.format(t=table)


ROW_TAMPERS: dict[str, tuple[str, str]] = {
    "edited value": (
        f"UPDATE audit_event SET sentence = 'Nothing' WHERE id = {of(FIRST, 'audit_event')}",
        "was changed",
    ),
    "edited before-value": (
        "UPDATE audit_change SET before = '{\"name\": \"other\"}' WHERE op = 'U' AND id ="
        f" (SELECT min(id) FROM audit_change WHERE op = 'U' AND organization_id = {A})",
        "was changed",
    ),
    "edited actor": (
        "UPDATE audit_access SET actor_name = 'Somebody Else' WHERE id ="
        f" {of(FIRST, 'audit_access')}",
        "was changed",
    ),
    "edited author": (
        f"UPDATE audit_change SET actor = 'person:1:X' WHERE id = {of(FIRST, 'audit_change')}",
        "was changed",
    ),
    "edited time": (
        "UPDATE audit_access SET created_at = created_at - interval '1 day' WHERE id ="
        f" {of(LAST, 'audit_access')}",
        "was changed",
    ),
    "deleted row": (
        f"DELETE FROM audit_access WHERE id = {of(FIRST, 'audit_access')}",
        "is gone",
    ),
    "deleted range": (f"DELETE FROM audit_event WHERE organization_id = {A}", "is gone"),
    "deleted tail": (
        f"DELETE FROM audit_change WHERE id = {of(LAST, 'audit_change')}",
        "is gone",
    ),
    "swapped organization": (
        f"UPDATE audit_access SET organization_id = {B} WHERE id = {of(FIRST, 'audit_access')}",
        "moved to another organization",
    ),
    "reordered": (
        "UPDATE audit_event e SET sentence = (SELECT sentence FROM audit_event x WHERE x.id <>"
        " e.id AND x.organization_id = e.organization_id ORDER BY x.id LIMIT 1)"
        f" WHERE e.id IN ({of(FIRST, 'audit_event')}, {of(FIRST, 'audit_event')} + 1)",
        "was changed",
    ),
}


@pytest.mark.parametrize("name", list(ROW_TAMPERS))
def test_a_row_that_was_touched_is_named(log, name) -> None:
    statement, words = ROW_TAMPERS[name]
    tamper(statement)
    found = answers()
    assert found, name
    assert words in found[0].words
    assert found[0].organization == "CANA"
    assert found[0].seal > 0
    assert found[0].row is not None
    with pytest.raises(CommandError, match="First broken link: CANA, link"):
        call_command("verify_audit", stdout=StringIO())


def test_a_row_put_in_afterwards_is_named(log) -> None:
    tamper(
        "INSERT INTO audit_access (public_id, created_at, organization_id, patient_id, actor_name,"
        " actor_kind, purpose, request_id, author, tx) SELECT gen_random_uuid(), created_at,"
        " organization_id, patient_id, 'Ana Frontdesk', actor_kind, purpose, '', author, tx FROM"
        f" audit_access WHERE id = {of(FIRST, 'audit_access')}"
    )
    (found,) = answers()
    assert (found.table, found.words) == (
        "audit_access",
        "was put in where all was sealed already",
    )


def test_a_cut_tail_of_rows_and_links_is_told_by_the_anchor(log) -> None:
    tamper(
        f"DELETE FROM audit_access WHERE id IN (SELECT unnest(ids) FROM audit_seal WHERE"
        f" organization_id = {A} AND number > 3 AND table_name = 'audit_access')",
        f"DELETE FROM audit_event WHERE id IN (SELECT unnest(ids) FROM audit_seal WHERE"
        f" organization_id = {A} AND number > 3 AND table_name = 'audit_event')",
        f"DELETE FROM audit_change WHERE id IN (SELECT unnest(ids) FROM audit_seal WHERE"
        f" organization_id = {A} AND number > 3 AND table_name = 'audit_change')",
        f"DELETE FROM audit_seal WHERE organization_id = {A} AND number > 3",
    )
    assert chain.verify().breaks == (), "the database alone looks whole"
    (found,) = answers()
    assert "cut, or an older copy" in found.words


def test_a_restored_older_copy_is_told_by_the_anchor(log) -> None:
    copy = "CREATE TABLE kept_{0} AS SELECT * FROM {0}"
    tables = (*chain.database.SEALED_TABLES, "audit_seal")
    tamper(*(copy.format(t) for t in tables))
    try:
        with scope(log.actor("ana")):
            write(log.a, log.actor("ana"), 7)
        seal_settled()
        chain.anchor()
        assert answers() == []
        tamper(
            *(f"DELETE FROM {t}" for t in tables),
            *(f"INSERT INTO {t} SELECT * FROM kept_{t}" for t in tables),
        )
        assert "cut, or an older copy" in answers()[0].words
    finally:
        tamper(*(f"DROP TABLE kept_{t}" for t in tables))


def test_a_chain_written_anew_is_told_by_the_anchor(log) -> None:
    """Everything is deleted and sealed again by the database's own function: whole, but another."""
    tamper("DELETE FROM audit_seal", f"DELETE FROM audit_access WHERE organization_id = {A}")
    seal_settled()
    assert chain.verify().breaks == ()
    found = answers()
    assert found[0].organization == "CANA"
    assert "anchor" in found[0].words


def test_a_missing_and_a_changed_link_are_named(log) -> None:
    tamper(f"DELETE FROM audit_seal WHERE organization_id = {A} AND number = 2")
    assert (answers()[0].seal, answers()[0].words) == (3, "a link before it is missing")
    tamper(
        f"UPDATE audit_seal SET count = 99, from_tx = 0 WHERE organization_id = {B} AND number = 1"
    )
    assert Seal is not None
    assert any(b.organization == "CANB" and b.seal == 1 for b in answers())


@pytest.mark.parametrize(
    ("break_", "mend", "words"),
    [
        (
            "ALTER TABLE audit_access DISABLE TRIGGER stamp",
            "ALTER TABLE audit_access ENABLE TRIGGER stamp",
            "its trigger “stamp” is switched off",
        ),
        (
            "ALTER TABLE intake_patient DISABLE TRIGGER audit_u",
            "ALTER TABLE intake_patient ENABLE TRIGGER audit_u",
            "its trigger “audit_u” is switched off",
        ),
        (
            "ALTER TABLE audit_event DISABLE TRIGGER append_only",
            "ALTER TABLE audit_event ENABLE TRIGGER append_only",
            "its trigger “append_only” is switched off",
        ),
        (
            "GRANT UPDATE ON audit_access TO isocenter_app",
            "REVOKE UPDATE ON audit_access FROM isocenter_app",
            "the application may change or delete its rows",
        ),
    ],
)
def test_a_guard_that_sleeps_is_named(log, break_, mend, words, settings) -> None:
    role = settings.DATABASE_APP_ROLE
    tamper(break_.replace("isocenter_app", role))
    try:
        assert words in [b.words for b in answers()]
    finally:
        tamper(mend.replace("isocenter_app", role))
    assert answers() == []


def test_an_anchor_that_was_written_by_another_is_told(log, anchors) -> None:
    (path,) = anchors.glob("*.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[0]["digest"] = "0" * 64
    path.write_text("\n".join(json.dumps(line) for line in lines))
    assert "false signature" in answers()[0].words


def test_the_nightly_task_mails_what_is_broken(log, settings) -> None:
    settings.ADMINS = [("Ops", "ops@isocenter.test")]
    assert tasks.verify() == 0
    tamper(ROW_TAMPERS["deleted row"][0])
    assert tasks.verify() == 1
    assert "is gone" in mail.outbox[-1].body


# --- author, time and organization are the database's -----------------------------------------------


def test_the_caller_says_neither_author_nor_time(log) -> None:
    actor = log.actor("ana")
    with scope(actor):
        row = Access.objects.create(
            organization=log.a,
            patient_id=1,
            actor_name="Mia Manager",
            actor_kind="person",
            user_id=log.user("mia").pk,
            purpose="forged",
            author="person:0:Nobody",
            tx=1,
        )
        Access.objects.filter(pk=row.pk)
        row.refresh_from_db()
        assert (row.actor_name, row.user_id, row.author) == (
            "Ana Frontdesk",
            actor.user_id,
            actor.tag,
        )
        assert row.created_at.year > 2020
        assert row.tx > 1
        record_steps([Step(log.a.pk, "forged", "by another")], actor=log.actor("mia"))
        assert Event.objects.get(verb="forged").author == actor.tag


def test_the_application_writes_no_change_and_no_seal(log) -> None:
    for statement in (
        "INSERT INTO audit_change (organization_id, table_name, row_id, op, actor, request_id, at)"
        f" VALUES ({log.a.pk}, 'intake_patient', 1, 'U', 'person:1:Mia', '', '2020-01-01')",
        "INSERT INTO audit_seal (public_id, created_at, organization_id, number, table_name, shape,"
        " from_tx, upto_tx, count, ids, digests, previous, digest) SELECT gen_random_uuid(), now(),"
        " organization_id, 99, table_name, shape, from_tx, upto_tx, count, ids, digests, previous,"
        " digest FROM audit_seal LIMIT 1",
    ):
        with (
            scope(log.system),
            pytest.raises(DatabaseError, match="permission denied"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
    with scope(log.system):
        assert Change.objects.filter(table_name="exchange_connection", op="U").exists()


def test_a_running_transaction_is_sealed_when_it_has_ended(log) -> None:
    """Its rows have lower numbers than those of who came later and was faster."""
    import threading

    begun, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        try:
            with scope(log.actor("ana")):
                record_steps([Step(log.a.pk, "slow.step", "Slow")], actor=log.actor("ana"))
                begun.set()
                go_on.wait(20)
        finally:
            connection.close()

    thread = threading.Thread(target=slow)
    thread.start()
    assert begun.wait(20)
    with scope(log.actor("ana")):
        record_steps([Step(log.a.pk, "fast.step", "Fast")], actor=log.actor("ana"))
    chain.seal()
    assert answers() == []
    go_on.set()
    thread.join()
    assert seal_settled() >= 2
    assert answers() == []
