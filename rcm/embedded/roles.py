"""The two roles of the product and what a database needs before the first migration.

Used for the embedded server at its first start, and by hand for a PostgreSQL of your own (`python
-m rcm.embedded prepare-database`, docs/operations.md): the one moment that needs a superuser.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import psycopg2
from psycopg2 import sql

from rcm.embedded.home import APP_ROLE, OWNER_ROLE

EXTENSIONS = ("pg_trgm", "btree_gist", "unaccent", "pg_stat_statements")

# Web requests are short. A job that needs longer raises its own limit (`set local statement_timeout
# = ...`). Migrations run as the owner: no limit on the statement, but never waiting long for a lock
# that others hold.
TIMEOUTS = {
    APP_ROLE: {
        "statement_timeout": "30s",
        "lock_timeout": "5s",
        "idle_in_transaction_session_timeout": "60s",
    },
    OWNER_ROLE: {
        "statement_timeout": "0",
        "lock_timeout": "10s",
        "idle_in_transaction_session_timeout": "10min",
    },
}

# What the owner creates later, the application may read and write, but not empty, alter or own.
DEFAULT_PRIVILEGES = (
    (
        "alter default privileges for role {owner} grant select, insert, update, delete on tables"
        " to {app}"
    ),
    "alter default privileges for role {owner} grant usage, select on sequences to {app}",
)


def prepare_database(*, superuser_url: str, database: str, passwords: Mapping[str, str]) -> None:
    """Create the roles, the extensions and the database, whichever is missing; does nothing where
    the database exists.

    `passwords` names a password for each of the two roles. The work is done in template1, so that
    every database made from it, a test database too, has the same extensions and default
    privileges.
    """
    with contextlib.closing(psycopg2.connect(superuser_url, connect_timeout=5)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("select 1 from pg_database where datname = %s", [database])
            if cursor.fetchone():
                return
            _create_roles(cursor, passwords)
            names = {
                "owner": sql.Identifier(OWNER_ROLE),
                "app": sql.Identifier(APP_ROLE),
                "database": sql.Identifier(database),
            }
            for extension in EXTENSIONS:
                cursor.execute(
                    sql.SQL("create extension if not exists {}").format(sql.Identifier(extension))
                )
            for grant in DEFAULT_PRIVILEGES:
                cursor.execute(sql.SQL(grant).format(**names))
            # Last, because it is what the question above asks for: work that was cut short is taken
            # up again.
            cursor.execute(
                sql.SQL("create database {database} owner {owner} template template1").format(
                    **names
                )
            )
            cursor.execute(
                sql.SQL("revoke connect on database {database} from public").format(**names)
            )
            cursor.execute(
                sql.SQL("grant connect, temporary on database {database} to {app}").format(**names)
            )


def _create_roles(cursor: psycopg2.extensions.cursor, passwords: Mapping[str, str]) -> None:
    for role, may_create_databases in ((OWNER_ROLE, True), (APP_ROLE, False)):
        name = sql.Identifier(role)
        cursor.execute("select 1 from pg_roles where rolname = %s", [role])
        if not cursor.fetchone():
            cursor.execute(sql.SQL("create role {}").format(name))
        attributes = "login nosuperuser nobypassrls nocreaterole noreplication"
        attributes += " createdb" if may_create_databases else " nocreatedb"
        cursor.execute(
            sql.SQL("alter role {} " + attributes + " password %s").format(name),
            [passwords[role]],
        )
        for setting, value in TIMEOUTS[role].items():
            cursor.execute(
                sql.SQL("alter role {} set {} = %s").format(name, sql.Identifier(setting)), [value]
            )
