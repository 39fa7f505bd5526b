"""Who may do what on the embedded servers, and what they write down."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import psycopg2
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from rcm import embedded

CANARY = "CANA-Ödegaard-1961"


def test_the_application_role_is_bound_by_row_level_security_and_owns_nothing(running):
    rows = running.ask(
        "select rolcanlogin, rolsuper, rolbypassrls, rolcreatedb, rolcreaterole, rolreplication,"
        " exists (select from pg_shdepend where refobjid = r.oid and deptype = 'o'),"
        " exists (select from pg_auth_members where member = r.oid)"
        " from pg_roles r where rolname = 'isocenter_app'"
    )
    assert rows == [(True, False, False, False, False, False, False, False)]


def test_the_owner_may_make_test_databases_but_is_no_superuser(running):
    rows = running.ask(
        "select rolcanlogin, rolsuper, rolbypassrls, rolcreatedb, rolcreaterole from pg_roles where"
        " rolname = 'isocenter_owner'"
    )
    assert rows == [(True, False, False, True, False)]
    owner = running.ask(
        "select pg_get_userbyid(datdba) from pg_database where datname = 'isocenter'"
    )
    assert owner == [("isocenter_owner",)]


def test_the_application_reads_and_writes_what_the_owner_creates_but_cannot_empty_or_alter_it(
    running,
):
    running.ask(
        "create table ledger_like (id bigint generated always as identity, amount numeric(12,2))",
        role="owner_database_url",
    )
    running.ask("insert into ledger_like (amount) values (12.50)", role="database_url")
    assert running.ask("select amount from ledger_like", role="database_url")
    for forbidden in (
        "truncate ledger_like",
        "drop table ledger_like",
        "create table other (id int)",
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            running.ask(forbidden, role="database_url")


def test_forced_row_level_security_hides_every_row_from_application_and_owner(running):
    running.ask(
        "create table tenants (organization_id bigint); insert into tenants values (1);alter table"
        " tenants enable row level security; alter table tenants force row level security;create"
        " policy scope on tenants using (organization_id = nullif(current_setting('iso.org', true),"
        " '')::bigint)",
        role="owner_database_url",
    )
    for role in ("database_url", "owner_database_url"):
        assert running.ask("select * from tenants", role=role) == []
    assert running.ask(
        "select set_config('iso.org', '1', true); select organization_id from tenants",
        role="database_url",
    )


def test_a_test_database_has_the_same_extensions_and_privileges(running):
    owner = embedded.endpoints(running.root).owner_database_url
    connection = psycopg2.connect(owner)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("create database test_isocenter_example")
    connection.close()
    for database in ("isocenter", "test_isocenter_example"):
        address = owner.rsplit("/", 1)[0] + "/" + database
        with psycopg2.connect(address) as connection, connection.cursor() as cursor:
            cursor.execute("select extname from pg_extension")
            assert {"pg_trgm", "btree_gist", "unaccent", "pg_stat_statements"} <= {
                name for (name,) in cursor.fetchall()
            }
            cursor.execute("select count(*) from pg_default_acl")
            assert cursor.fetchone() == (2,)
        connection.close()


@pytest.mark.parametrize(
    ("role", "statement", "lock", "idle"),
    [("database_url", "30s", "5s", "1min"), ("owner_database_url", "0", "10s", "10min")],
)
def test_each_role_has_its_timeouts(running, role, statement, lock, idle):
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    found = running.ask(
        f"select {', '.join(f'current_setting({name!r})' for name in names)}", role=role
    )
    assert found == [(statement, lock, idle)]


def test_nobody_gets_in_without_the_password(running):
    address = embedded.endpoints(running.root).superuser_url
    password = address.split(":")[2].split("@")[0]
    for wrong in (address.replace(f":{password}@", "@"), address.replace(password, "postgres")):
        with pytest.raises(psycopg2.OperationalError, match="password"):
            psycopg2.connect(wrong, passfile="/nonexistent")
    rules = running.ask("select distinct auth_method, address from pg_hba_file_rules")
    assert rules == [("scram-sha-256", "127.0.0.1")]
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=running.home.recall().ports["redis"], retry=Retry(NoBackoff(), 0)).ping()


def test_both_listen_on_the_loopback_address_only(running):
    assert running.ask(
        "select current_setting('listen_addresses'), current_setting('unix_socket_directories')"
    ) == [("127.0.0.1", "")]
    assert running.broker().config_get("bind")["bind"] == "127.0.0.1"


def test_passwords_and_data_are_closed_to_other_users(running, as_root):
    home = running.home
    assert stat.S_IMODE(home.memory_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.postgres.stat().st_mode) == 0o700
    assert stat.S_IMODE(home.redis.stat().st_mode) == 0o700
    assert stat.S_IMODE((home.redis / "redis.conf").stat().st_mode) == 0o600
    uids = {process.uids().real for process in running.processes()}
    assert uids == {home.postgres.stat().st_uid}
    assert (0 in uids) is False
    if not as_root:
        assert uids == {os.geteuid()}


def test_folders_that_are_not_ours_keep_their_rights(fresh, tmp_path, monkeypatch, as_root):
    closed = tmp_path / "somebody's home"
    closed.mkdir()
    closed.chmod(0o700)
    monkeypatch.setenv("ISOCENTER_HOME", str(closed / "isocenter"))
    try:
        if as_root:
            with pytest.raises(embedded.EmbeddedError, match=r"cannot enter .* ISOCENTER_HOME"):
                fresh.start()
        else:
            fresh.start()
        above = [closed, *closed.parents]
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        assert all(
            os.stat(folder).st_uid == 0 or os.geteuid() == os.stat(folder).st_uid
            for folder in above
        )
    finally:
        embedded.wipe(fresh.root)


def test_a_failing_statement_leaves_no_patient_value_in_the_log(running):
    running.ask(
        "create table patients (mrn text primary key, born date)", role="owner_database_url"
    )
    running.ask("insert into patients values (%s, null)", CANARY, role="database_url")
    failures = {
        psycopg2.errors.UniqueViolation: "insert into patients values (%s, null)",
        psycopg2.errors.InvalidDatetimeFormat: "insert into patients values ('x', %s)",
        psycopg2.errors.UndefinedFunction: "select no_such_function(%s)",
        psycopg2.errors.RaiseException: (
            "do $$ begin raise exception 'patient %%', " + f"'{CANARY}'; end $$ --%s"
        ),
    }
    for error, statement in failures.items():
        with pytest.raises(error):
            running.ask(statement, CANARY, role="database_url")
    written = b"".join(path.read_bytes() for path in _logs(running.home.postgres))
    assert b"starting PostgreSQL 18" in written
    assert CANARY.encode() not in written
    assert running.ask(
        "select count(*) from pg_stat_statements where query like %s", f"%{CANARY}%"
    ) == [(0,)]


def _logs(folder: Path) -> list[Path]:
    return [folder / "start.log", *(folder / "log").iterdir()]


def test_the_plain_text_of_a_password_reaches_neither_log_nor_statistics(running):
    password = embedded.endpoints(running.root).database_url.split(":")[2].split("@")[0]
    assert running.ask(
        "select count(*) from pg_stat_statements where query like %s", f"%{password}%"
    ) == [(0,)]
    assert all(password.encode() not in path.read_bytes() for path in _logs(running.home.postgres))
