"""One tenant never sees another by raw SQL either, whatever the role and the statement."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import psycopg2
import psycopg2.errors
import pytest
from psycopg2 import extensions
from sqlalchemy import make_url

from app.config import load_settings
from app.store.fold import fold
from app.store.session import Database
from tests.support.household import Household, furnish
from tests.support.world import opened

LOGS = ("action_logs", "audit_logs")
KEY = "(tenant_id, created_at, id)"
ROLLUPS = ("action_rollups", "audit_rollups", "user_rollups", "rollup_cells", "rollup_cursors")
KEPT = ("sandbox_contacts", "sandbox_items", "documents", "provider_accounts")
SCOPED = (*LOGS, *ROLLUPS, *KEPT, "log_batches", "tenants")
DENIED = psycopg2.errors.InsufficientPrivilege

KEY_FUNCTIONS = ("find_api_key", "look_up_api_key", "look_up_held_key")


@pytest.fixture(scope="module")
def environment(own_environment: dict[str, str]) -> dict[str, str]:
    """A database of these tests alone: rules are evaluated for all tenants there are."""
    return own_environment


@pytest.fixture(scope="module")
def maintenance(own_maintenance: Database) -> Database:
    """All tenants of that database."""
    return own_maintenance


@pytest.fixture(scope="module")
def houses(
    environment: dict[str, str], maintenance: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Household, Household]]:
    """Two tenants of one app; nothing in these tests changes them."""
    data_dir = tmp_path_factory.mktemp("row_security")
    with opened(replace(load_settings(environment), data_dir=data_dir), maintenance) as world:
        found = furnish(world), furnish(world)
        for house in found:  # or the rollups would have no rows
            with maintenance.unrestricted_unsafe() as session:
                assert fold(session, house.who.tenant_id)
        yield found


@contextmanager
def speaking_as(
    environment: dict[str, str], setting: str = "DATABASE_URL"
) -> Iterator[extensions.cursor]:
    """Raw SQL as a role; each statement is a transaction of its own unless BEGIN is said."""
    url = make_url(environment[setting]).set(drivername="postgresql")
    connection = psycopg2.connect(url.render_as_string(hide_password=False))
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def scope(cursor: extensions.cursor, tenant: UUID | str) -> None:
    """Scope the session to a tenant; the service does so for a transaction only."""
    cursor.execute("SELECT set_config('app.tenant', %s, false)", (str(tenant),))


def owners(cursor: extensions.cursor, table: str) -> set[str]:
    """The tenants whose rows of a table are seen."""
    column = "id" if table == "tenants" else "tenant_id"
    cursor.execute(f"SELECT DISTINCT {column} FROM {table}")
    return {row[0] for row in cursor.fetchall()}


@pytest.mark.parametrize("table", SCOPED)
def test_raw_sql_within_a_scope_sees_that_tenant_alone(
    houses: tuple[Household, Household], environment: dict[str, str], table: str
) -> None:
    """Whatever the statement asks for."""
    mine, theirs = (str(house.who.tenant_id) for house in houses)
    column = "id" if table == "tenants" else "tenant_id"
    with speaking_as(environment) as cursor:
        scope(cursor, mine)
        assert owners(cursor, table) == {mine}
        for condition in (f"{column} = '{theirs}'", f"{column} <> '{mine}'", f"{column} IS NULL"):
            cursor.execute(f"SELECT * FROM {table} WHERE {condition} OR {condition}")
            assert cursor.fetchall() == []
        cursor.execute(f"SELECT count(*) FROM {table} t FULL JOIN {table} u USING ({column})")
        scope(cursor, theirs)
        assert owners(cursor, table) == {theirs}


@pytest.mark.parametrize("table", SCOPED)
def test_raw_sql_without_a_scope_sees_nothing_and_gets_no_error(
    houses: tuple[Household, Household], environment: dict[str, str], table: str
) -> None:
    """Never set, set to nothing, reset, rolled back, or discarded."""
    mine = houses[0].who.tenant_id
    with speaking_as(environment) as cursor:
        assert owners(cursor, table) == set()
        scope(cursor, "")
        assert owners(cursor, table) == set()
        for ending in ("RESET app.tenant", "RESET ALL", "DISCARD ALL"):
            scope(cursor, mine)
            assert owners(cursor, table) == {str(mine)}
            cursor.execute(ending)
            assert owners(cursor, table) == set()
        for ending in ("COMMIT", "ROLLBACK"):
            cursor.execute("BEGIN")
            cursor.execute("SELECT set_config('app.tenant', %s, true)", (str(mine),))
            assert owners(cursor, table) == {str(mine)}
            cursor.execute(ending)
            assert owners(cursor, table) == set()


@pytest.mark.parametrize("table", SCOPED)
def test_a_scope_that_is_no_tenant_shows_nothing(
    houses: tuple[Household, Household], environment: dict[str, str], table: str
) -> None:
    """An unknown tenant has no rows; what is no UUID is an error and not a wildcard."""
    with speaking_as(environment) as cursor:
        scope(cursor, "ffffffff-ffff-ffff-ffff-ffffffffffff")
        assert owners(cursor, table) == set()
        for nonsense in ("*", "%", "' OR true --", "null"):
            scope(cursor, nonsense)
            with pytest.raises(psycopg2.errors.InvalidTextRepresentation):
                owners(cursor, table)


def test_row_security_cannot_be_talked_away(
    houses: tuple[Household, Household], environment: dict[str, str]
) -> None:
    """Not by switching it off, by another role, by DDL, by COPY or by a function that tells."""
    mine, theirs = houses
    with speaking_as(environment) as cursor:
        scope(cursor, mine.who.tenant_id)
        cursor.execute("SET row_security = off")
        with pytest.raises(DENIED):
            cursor.execute("SELECT count(*) FROM action_logs")
        cursor.execute("SET row_security = on")
        for statement in (
            *("SET ROLE opsledger_owner", "SET ROLE opsledger_maintenance"),
            "SET SESSION AUTHORIZATION opsledger_owner",
            "ALTER TABLE action_logs DISABLE ROW LEVEL SECURITY",
            "DROP POLICY tenant_reads ON action_logs",
            "CREATE POLICY mine ON action_logs USING (true)",
            "ALTER ROLE opsledger_web BYPASSRLS",
            "CREATE TABLE public.mine (a int)",
            "COPY action_logs TO PROGRAM 'cat'",
            "SELECT add_action_type('crm_dance')",
            "SELECT ensure_partition('action_logs', now())",
        ):
            with pytest.raises(DENIED):
                cursor.execute(statement)
        cursor.execute(
            "CREATE FUNCTION pg_temp.tell(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001"
            " AS $$ BEGIN RAISE NOTICE '%', $1; RETURN true; END $$"
        )
        cursor.execute("SELECT count(*) FROM action_logs WHERE pg_temp.tell(error_message)")
        told = "".join(cursor.connection.notices)
        assert mine.marker in told
        assert theirs.marker not in told


def test_planner_statistics_tell_nothing(
    houses: tuple[Household, Household], environment: dict[str, str]
) -> None:
    """pg_stats holds values of all tenants; the web role is not shown those of these tables."""
    with speaking_as(environment, "OWNER_DATABASE_URL") as cursor:
        cursor.execute("ANALYZE action_logs")
        cursor.execute("SELECT count(*) FROM pg_stats WHERE tablename LIKE 'action_logs%'")
        assert cursor.fetchone() > (0,)
    with speaking_as(environment) as cursor:
        scope(cursor, houses[0].who.tenant_id)
        cursor.execute(
            "SELECT tablename FROM pg_stats"
            " WHERE tablename ~ '^(action|audit)_logs|log_batches|sandbox|tenants'"
        )
        assert cursor.fetchall() == []


WRITES = (
    "INSERT INTO {table} DEFAULT VALUES",
    "UPDATE {table} SET tenant_id = tenant_id",
    "DELETE FROM {table}",
    "TRUNCATE {table}",
    "COPY {table} FROM STDIN",
    "SELECT 1 FROM {table} FOR UPDATE",
    "DROP TABLE {table}",
    "LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE",
)


# The maintenance role manages keys, and removes dead letters that were dealt with, and batches
# whose records are archived; of a batch it may change the summary, of which it erases users.
MAINTAINED = {
    "log_batches": ("DELETE", "LOCK", "FOR UPDATE"),
    "api_keys": ("INSERT", "UPDATE", "COPY", "LOCK"),
    "dead_letters": ("DELETE", "LOCK", "FOR UPDATE"),
}


@pytest.mark.parametrize(
    ("setting", "table", "statement"),
    [
        (setting, table, statement)
        for setting in ("DATABASE_URL", "MAINTENANCE_DATABASE_URL")
        for table in (*LOGS, "log_batches", "api_keys", "dead_letters")
        for statement in WRITES
        if setting == "DATABASE_URL"
        or not any(word in statement for word in MAINTAINED.get(table, ()))
    ],
)
def test_only_the_worker_writes_to_the_ledger(
    houses: tuple[Household, Household],
    environment: dict[str, str],
    setting: str,
    table: str,
    statement: str,
) -> None:
    """Neither what serves queries nor what maintains can add, change or remove a record."""
    with speaking_as(environment, setting) as cursor:
        scope(cursor, houses[0].who.tenant_id)
        cursor.execute("BEGIN")
        with pytest.raises(DENIED):
            cursor.execute(statement.format(table=table))


def leaves(cursor: extensions.cursor) -> list[str]:
    """The partitions of both logs."""
    cursor.execute(
        "SELECT inhrelid::regclass::text FROM pg_inherits"
        " WHERE inhparent IN ('action_logs'::regclass, 'audit_logs'::regclass)"
    )
    found = [name for (name,) in cursor.fetchall()]
    assert len(found) >= 2
    return found


@pytest.mark.parametrize(
    "setting", ["DATABASE_URL", "WORKER_DATABASE_URL", "MAINTENANCE_DATABASE_URL"]
)
def test_no_role_of_the_service_changes_or_removes_a_row_of_a_log(
    houses: tuple[Household, Household], environment: dict[str, str], setting: str
) -> None:
    """Neither through the log nor in a partition, by any statement that would."""
    with speaking_as(environment, setting) as cursor:
        for table in (*LOGS, *leaves(cursor)):
            for statement in (
                f"UPDATE {table} SET operation_id = 'x'",
                f"DELETE FROM {table}",
                f"TRUNCATE {table}",
                f"DROP TABLE {table}",
                f"ALTER TABLE {table} DISABLE TRIGGER ALL",
                f"MERGE INTO {table} t USING tenants s ON false WHEN MATCHED THEN DELETE",
                f"INSERT INTO {table} TABLE {table} ON CONFLICT {KEY} DO UPDATE SET id = NULL",
            ):
                with pytest.raises(DENIED):
                    cursor.execute(statement)


def test_not_even_the_owner_updates_a_row_of_a_log(
    houses: tuple[Household, Household], environment: dict[str, str]
) -> None:
    """By accident, that is: a trigger stands in the way, in every partition, also a new one."""
    with speaking_as(environment, "OWNER_DATABASE_URL") as cursor:
        cursor.execute("SELECT ensure_partition('action_logs', now() + interval '9 weeks')")
        tables = (*LOGS, *leaves(cursor))
        cursor.execute(
            "SELECT tgrelid::regclass::text FROM pg_trigger"
            " WHERE tgfoid = 'refuse_update'::regproc AND tgenabled = 'O'"
        )
        assert {name for (name,) in cursor.fetchall()} == set(tables)
        tried = 0
        for table in tables:
            cursor.execute(f"SELECT count(*) FROM {table}")
            if cursor.fetchone() > (0,):
                for change in ("metadata = NULL", "created_at = created_at + interval '7 days'"):
                    with pytest.raises(DENIED, match="never updated"):
                        cursor.execute(f"UPDATE {table} SET {change}")
                tried += 1
        assert tried >= 4


@pytest.mark.parametrize("table", ["api_keys", "dead_letters"])
def test_the_web_role_reads_neither_keys_nor_dead_letters(
    environment: dict[str, str], table: str
) -> None:
    """A key is looked up by a function that returns one row."""
    with speaking_as(environment) as cursor, pytest.raises(DENIED):
        cursor.execute(f"SELECT 1 FROM {table}")


@pytest.mark.parametrize("statement", ["SELECT 1 FROM {table}", *WRITES])
def test_no_partition_is_open_to_the_web_role(
    houses: tuple[Household, Household], environment: dict[str, str], statement: str
) -> None:
    """A partition has no row security of its own, so a grant on one would show every tenant."""
    with speaking_as(environment) as cursor:
        scope(cursor, houses[0].who.tenant_id)
        cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits")
        leaves = [name for (name,) in cursor.fetchall() if name.endswith(tuple("0123456789"))]
        assert len(leaves) >= 2
        for leaf in leaves:
            cursor.execute("BEGIN")
            with pytest.raises(DENIED):
                cursor.execute(statement.format(table=leaf))
            cursor.execute("ROLLBACK")


def test_a_tenants_contacts_cannot_be_given_or_taken_by_sql(
    houses: tuple[Household, Household], environment: dict[str, str]
) -> None:
    """The web role may write contacts, of the tenant in scope alone."""
    mine, theirs = (house.who.tenant_id for house in houses)
    insert = "INSERT INTO sandbox_contacts (tenant_id, id, email) VALUES (%s, %s, 'x@example.com')"
    with speaking_as(environment) as cursor:
        scope(cursor, mine)
        for statement, values in (
            (insert, (str(theirs), str(mine))),
            (insert, (str(theirs), houses[1].items["contact_id"])),
            ("UPDATE sandbox_contacts SET tenant_id = %s", (str(theirs),)),
        ):
            with pytest.raises(DENIED, match="row-level security"):
                cursor.execute(statement, values)
        for statement in (
            "UPDATE sandbox_contacts SET email = 'x' WHERE tenant_id = %s",
            "DELETE FROM sandbox_contacts WHERE tenant_id = %s",
        ):
            cursor.execute(statement, (str(theirs),))
            assert cursor.rowcount == 0
        cursor.execute("RESET app.tenant")
        with pytest.raises(DENIED, match="row-level security"):
            cursor.execute(insert, (str(mine), str(mine)))


def test_the_worker_writes_what_it_cannot_read(
    houses: tuple[Household, Household], environment: dict[str, str]
) -> None:
    """No payload, no text, no key, no contact; of a partition just what ON CONFLICT needs."""
    with speaking_as(environment, "WORKER_DATABASE_URL") as cursor:
        cursor.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits"
            " WHERE inhparent IN ('action_logs'::regclass, 'audit_logs'::regclass)"
        )
        leaves = [name for (name,) in cursor.fetchall()]
        assert len(leaves) >= 2
        for leaf in leaves:
            cursor.execute(f"SELECT tenant_id, created_at, id FROM {leaf} LIMIT 1")
            payload = "request_payload" if leaf.startswith("action") else "changes"
            for statement in (
                f"SELECT * FROM {leaf}",
                f"SELECT {payload} FROM {leaf}",
                f"SELECT {leaf} FROM {leaf}",
                f"SELECT 1 FROM {leaf} WHERE metadata IS NULL",
                f"UPDATE {leaf} SET metadata = NULL",
                f"DELETE FROM {leaf}",
                f"TRUNCATE {leaf}",
                f"INSERT INTO {leaf} DEFAULT VALUES RETURNING metadata",
                f"COPY {leaf} TO STDOUT",
            ):
                with pytest.raises(DENIED):
                    cursor.execute(statement)
        for statement in (
            *(f"SELECT 1 FROM {table}" for table in (*LOGS, *KEPT, "api_keys")),
            *(f"INSERT INTO {table} DEFAULT VALUES" for table in LOGS),
            *("SELECT name FROM tenants", "SELECT * FROM dead_letters"),
            *("UPDATE log_batches SET row_count = 0", "DELETE FROM log_batches"),
            *("DELETE FROM shipments", "SELECT add_action_type('crm_dance')"),
            *(
                f"SELECT * FROM {name}('')"
                for name in ("find_api_key", "look_up_api_key", "look_up_held_key")
            ),
        ):
            with pytest.raises(DENIED):
                cursor.execute(statement)


def test_the_maintenance_role_sees_all_tenants_and_changes_no_record(
    houses: tuple[Household, Household], environment: dict[str, str]
) -> None:
    """Counting across tenants is its work."""
    both = {str(house.who.tenant_id) for house in houses}
    with speaking_as(environment, "MAINTENANCE_DATABASE_URL") as cursor:
        for table in (*LOGS, "log_batches", "tenants"):
            assert both <= owners(cursor, table)


def test_every_table_with_tenants_has_row_security(environment: dict[str, str]) -> None:
    """Also those that later migrations add; partitions are closed by the lack of grants."""
    with speaking_as(environment, "OWNER_DATABASE_URL") as cursor:
        cursor.execute(
            "SELECT c.relname, c.relrowsecurity FROM pg_class c"
            " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'"
            " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')"
            " AND NOT c.relispartition"
        )
        found = dict(cursor.fetchall())
        assert set(found) >= {*LOGS, "log_batches", "sandbox_contacts", "api_keys", "dead_letters"}
        assert all(found.values()), found


def test_no_role_of_the_service_is_above_row_security(environment: dict[str, str]) -> None:
    """No superuser, no BYPASSRLS, no membership in another, no ownership of a table."""
    with speaking_as(environment, "OWNER_DATABASE_URL") as cursor:
        cursor.execute(
            "SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb FROM pg_roles"
            " WHERE rolname IN ('opsledger_web', 'opsledger_worker', 'opsledger_maintenance')"
        )
        found = cursor.fetchall()
        assert len(found) == 3
        assert {row[1:] for row in found} == {(False, False, False, False)}
        cursor.execute(
            "SELECT member::regrole::text FROM pg_auth_members"
            " WHERE member::regrole::text LIKE 'opsledger_%'"
        )
        assert [name for (name,) in cursor.fetchall() if name != "opsledger_owner"] == []
        cursor.execute(
            "SELECT DISTINCT relowner::regrole::text FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace"
        )
        assert cursor.fetchall() == [("opsledger_owner",)]


def test_the_key_lookup_returns_one_key_and_no_list(
    houses: tuple[Household, Household], environment: dict[str, str]
) -> None:
    """Without the secret's hash there is nothing to find."""
    with speaking_as(environment) as cursor:
        for digest in (None, b"", b"%", b"\x00" * 32):
            for function in KEY_FUNCTIONS:
                cursor.execute(f"SELECT * FROM {function}(%s)", (digest,))
                assert cursor.fetchall() == []


def test_an_unused_scope_gives_no_rights(environment: dict[str, str]) -> None:
    """PUBLIC, to which every role belongs, was granted nothing on any table or function."""
    with speaking_as(environment, "OWNER_DATABASE_URL") as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class, aclexplode(relacl)"
            " WHERE grantee = 0 AND relnamespace = 'public'::regnamespace"
            " UNION ALL SELECT proname FROM pg_proc,"
            " aclexplode(coalesce(proacl, acldefault('f', proowner)))"
            " WHERE grantee = 0 AND pronamespace = 'public'::regnamespace"
        )
        granted: list[Any] = cursor.fetchall()
        assert granted == []
