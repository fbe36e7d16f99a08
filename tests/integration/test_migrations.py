"""Migrations: up, down and up again; equal to the models; roles and grants as designed."""

import ast
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import flask_migrate
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import OperationalError

from app.config import Settings, load_settings, setting_fields
from app.domain.access import OPERATOR_TENANT_ID
from app.domain.records import BUILTIN_ACTION_TYPES, ActionStatus
from app.factory import close_app, create_app
from app.store import METADATA
from app.store.models import Domain

MIGRATIONS = Path(__file__).parents[2] / "migrations"
VERSIONS = sorted((MIGRATIONS / "versions").glob("*.py"))
PARTITION = re.compile(r"(action|audit)_logs_\d+w\d\d")
ROLES = ("opsledger_web", "opsledger_worker", "opsledger_maintenance")


class Migrated:
    """A database of its own that is moved between revisions as `flask db` moves it."""

    def __init__(self, urls: dict[str, str], data_dir: Path) -> None:
        self.settings: Settings = load_settings({**urls, "OPSLEDGER_DATA_DIR": str(data_dir)})
        self._app = create_app(self.settings)
        self._engine = create_engine(urls["OWNER_DATABASE_URL"])

    def upgrade(self, revision: str = "head") -> None:
        """`flask db upgrade`."""
        with self._app.app_context():
            flask_migrate.upgrade(directory=str(MIGRATIONS), revision=revision)

    def downgrade(self, revision: str = "-1") -> None:
        """`flask db downgrade`."""
        with self._app.app_context():
            flask_migrate.downgrade(directory=str(MIGRATIONS), revision=revision)

    @contextmanager
    def owner(self) -> Iterator[Connection]:
        """A transaction as the owner of the tables."""
        with self._engine.begin() as connection:
            yield connection

    def ask(self, statement: str) -> list[Any]:
        """The rows of a query; of one column, its values."""
        with self.owner() as connection:
            rows = list(connection.execute(text(statement)))
        return [row[0] if len(row) == 1 else tuple(row) for row in rows]

    @property
    def revision(self) -> str | None:
        """Where it stands."""
        with self.owner() as connection:
            return MigrationContext.configure(connection).get_current_revision()

    def shape(self) -> dict[str, list[Any]]:
        """All that migrations make: columns, keys, indexes, policies, grants, functions."""
        ours = "relnamespace = 'public'::regnamespace AND relname !~ '^alembic_version'"
        return {
            name: self.ask(statement)
            for name, statement in {
                "columns": "SELECT relname, attname, format_type(atttypid, atttypmod), attnotnull,"
                " pg_get_expr(adbin, adrelid) FROM pg_attribute JOIN pg_class c ON c.oid = attrelid"
                " LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum"
                f" WHERE {ours} AND attnum > 0 AND NOT attisdropped ORDER BY 1, 2",
                "tables": "SELECT relname, relkind, relrowsecurity, relacl::text FROM pg_class"
                f" WHERE {ours} ORDER BY 1",
                "constraints": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)"
                " FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
                " AND conname !~ '^alembic_version' ORDER BY 1, 2",
                "policies": "SELECT tablename, policyname, roles::text, cmd, qual, with_check"
                " FROM pg_policies ORDER BY 1, 2",
                "triggers": "SELECT tgrelid::regclass::text, tgname, tgenabled FROM pg_trigger"
                " WHERE NOT tgisinternal ORDER BY 1, 2",
                "functions": "SELECT proname, prosrc, prosecdef, proacl::text FROM pg_proc"
                " WHERE pronamespace = 'public'::regnamespace ORDER BY 1",
                "types": "SELECT typname, typtype FROM pg_type"
                " WHERE typnamespace = 'public'::regnamespace"
                " AND typname !~ 'alembic_version' ORDER BY 1",
            }.items()
        }

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()
        close_app(self._app, grace_s=0)


@pytest.fixture
def migrated(make_database: Callable[[str], dict[str, str]], tmp_path: Path) -> Iterator[Migrated]:
    """An empty database, not migrated yet."""
    found = Migrated(make_database("opsledger_migrations"), tmp_path)
    yield found
    found.close()


@pytest.fixture
def latest(environment: dict[str, str], tmp_path: Path) -> Iterator[Migrated]:
    """The shared database, which stands at the head; only looked at."""
    found = Migrated(environment, tmp_path)
    yield found
    found.close()


def script() -> ScriptDirectory:
    """The migrations as Alembic reads them."""
    return ScriptDirectory(str(MIGRATIONS))


def test_migrations_go_up_down_and_up_again_to_the_same_schema(migrated: Migrated) -> None:
    """Down to nothing leaves nothing behind, and the second way up ends where the first did."""
    empty = migrated.shape()
    migrated.upgrade()
    assert migrated.revision == script().get_current_head()
    first = migrated.shape()
    assert {"tenants", "action_logs", "audit_logs"} <= {row[0] for row in first["tables"]}
    with migrated.owner() as connection:  # partitions are made by use, and go down with their log
        for parent in ("action_logs", "audit_logs"):
            connection.execute(text(f"SELECT ensure_partition('{parent}', now())"))

    migrated.downgrade("base")
    assert migrated.revision is None
    assert migrated.shape() == empty
    migrated.upgrade()
    assert migrated.shape() == first


def test_every_single_step_can_be_taken_back_and_taken_again(migrated: Migrated) -> None:
    """Each migration undoes itself exactly, so that a release can be taken back."""
    before = migrated.shape()
    for revision in reversed(list(script().walk_revisions())):
        migrated.upgrade(revision.revision)
        after = migrated.shape()
        migrated.downgrade()
        assert migrated.shape() == before, revision.revision
        migrated.upgrade(revision.revision)
        assert migrated.shape() == after, revision.revision
        before = after


def test_upgrading_twice_changes_nothing(migrated: Migrated) -> None:
    """Every start of the service may say `flask db upgrade`."""
    migrated.upgrade()
    before = migrated.shape()
    migrated.upgrade()
    assert migrated.shape() == before


def test_the_models_equal_the_migrations(latest: Migrated) -> None:
    """Nothing to autogenerate, but for the partitions, which have no model."""

    def without_partitions(obj: Any, name: str, kind: str, reflected: bool, _: Any) -> bool:
        table = name if kind == "table" else getattr(getattr(obj, "table", None), "name", "")
        return not (reflected and PARTITION.fullmatch(table or ""))

    with latest.owner() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_object": without_partitions,
                "compare_type": True,
                "compare_server_default": True,
            },
        )
        assert compare_metadata(context, METADATA) == []


def test_the_columns_of_a_domain_have_that_domain(latest: Migrated) -> None:
    """Alembic reads a domain as its base type, so this is looked up by name."""
    found = set(
        latest.ask(
            "SELECT table_name || '.' || column_name || ' ' || domain_name"
            " FROM information_schema.columns WHERE domain_name IS NOT NULL"
            " AND table_schema = 'public' AND table_name !~ '[0-9]'"
        )
    )
    modelled = {
        f"{table.name}.{column.name} {column.type.name}"
        for table in METADATA.tables.values()
        for column in table.columns
        if isinstance(column.type, Domain)
    }
    assert found == modelled
    assert len(found) == 2


def test_check_constraints_of_models_and_migrations_are_the_same(latest: Migrated) -> None:
    """Alembic does not compare these either."""
    found = set(
        latest.ask(
            "SELECT conrelid::regclass || '.' || conname FROM pg_constraint"
            " WHERE contype = 'c' AND conrelid <> 0 AND conrelid::regclass::text !~ '[0-9]'"
        )
    )
    modelled = {
        f"{table.name}.{constraint.name}"
        for table in METADATA.tables.values()
        for constraint in table.constraints
        if type(constraint).__name__ == "CheckConstraint"
    }
    assert found == modelled
    assert found


def test_there_is_one_head_and_one_line_of_revisions() -> None:
    """Two heads are two branches that met without a merge."""
    assert len(script().get_heads()) == 1
    assert len(script().get_bases()) == 1
    names = [revision.revision for revision in script().walk_revisions()][::-1]
    assert names == [path.stem for path in VERSIONS]


@pytest.mark.parametrize("path", VERSIONS, ids=lambda path: path.stem)
def test_a_migration_is_named_and_numbered(path: Path) -> None:
    """revision = file name, four digits that follow the one before, a docstring that says why."""
    tree = ast.parse(path.read_text())
    values = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id in {"revision", "down_revision"}
    }
    number = VERSIONS.index(path)
    assert re.fullmatch(rf"{number + 1:04}_[a-z0-9_]+", path.stem)
    assert values["revision"] == path.stem
    assert values["down_revision"] == (VERSIONS[number - 1].stem if number else None)
    assert ast.get_docstring(tree)
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert {"upgrade", "downgrade"} <= functions


def test_a_new_database_has_the_operator_and_nothing_else(migrated: Migrated) -> None:
    """No record, no key, no batch; the 26 action types and the 5 statuses."""
    migrated.upgrade()
    for table in ("action_logs", "audit_logs", "log_batches", "shipments", "dead_letters"):
        assert migrated.ask(f"SELECT count(*) FROM {table}") == [0], table
    for table in ("api_keys", "sandbox_contacts"):
        assert migrated.ask(f"SELECT count(*) FROM {table}") == [0], table
    assert migrated.ask("SELECT id, slug, is_active FROM tenants") == [
        (OPERATOR_TENANT_ID, "operator", True)
    ]
    types = migrated.ask("SELECT name FROM action_types")
    assert sorted(types) == sorted(BUILTIN_ACTION_TYPES)
    for domain, values in (
        ("action_type_enum", BUILTIN_ACTION_TYPES),
        ("action_status_enum", tuple(status.value for status in ActionStatus)),
    ):
        (check,) = migrated.ask(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
            f" WHERE contypid = '{domain}'::regtype AND contype = 'c'"
        )
        assert set(re.findall(r"'(\w+)'", check)) == set(values)


def test_the_logs_are_partitioned_by_time_under_the_designs_key(latest: Migrated) -> None:
    """PRIMARY KEY (tenant_id, created_at, id), RANGE on created_at."""
    for table in ("action_logs", "audit_logs"):
        assert latest.ask(f"SELECT pg_get_partkeydef('{table}'::regclass)") == [
            "RANGE (created_at)"
        ]
        assert latest.ask(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
            f" WHERE conrelid = '{table}'::regclass AND contype = 'p'"
        ) == ["PRIMARY KEY (tenant_id, created_at, id)"]


def test_every_unique_key_starts_with_the_tenant(latest: Migrated) -> None:
    """So that the schema can be spread by tenant; what belongs to no tenant is excepted."""
    platform = {"tenants", "action_types", "shipments", "dead_letters", "task_runs"}
    platform |= {"archived_partitions", "archive_state"}
    platform |= {"alembic_version"}
    keys = latest.ask(
        "SELECT indrelid::regclass::text, pg_get_indexdef(indexrelid, 1, true) FROM pg_index"
        " JOIN pg_class ON pg_class.oid = indrelid WHERE indisunique"
        " AND relnamespace = 'public'::regnamespace"
    )
    others = [(table, column) for table, column in keys if table not in platform]
    assert len(others) >= 5
    assert {column for _, column in others} == {"tenant_id"}


MANAGES = "DELETE INSERT SELECT UPDATE"
GRANTS = {
    "action_logs": {"web": "SELECT", "maintenance": "SELECT"},
    "audit_logs": {"web": "SELECT", "maintenance": "SELECT"},
    "log_batches": {"web": "SELECT", "maintenance": "DELETE SELECT", "worker": "INSERT SELECT"},
    "shipments": {"web": "SELECT", "maintenance": "DELETE SELECT", "worker": "INSERT SELECT"},
    "dead_letters": {"maintenance": "DELETE SELECT", "worker": "DELETE INSERT"},
    "late_records": {"maintenance": "DELETE SELECT", "worker": "INSERT"},
    "archives": {"web": "SELECT", "maintenance": "DELETE INSERT SELECT"},
    "archived_partitions": {"maintenance": "SELECT"},
    "archive_state": {"web": "SELECT", "maintenance": "INSERT SELECT UPDATE"},
    "exports": {"web": "INSERT SELECT", "maintenance": "DELETE SELECT UPDATE"},
    "action_rollups": {"web": "SELECT", "maintenance": MANAGES},
    "audit_rollups": {"web": "SELECT", "maintenance": MANAGES},
    "user_rollups": {"web": "SELECT", "maintenance": MANAGES},
    "rollup_cells": {"web": "SELECT", "maintenance": "INSERT SELECT UPDATE"},
    "rollup_cursors": {"web": "SELECT", "maintenance": "INSERT SELECT UPDATE"},
    "task_runs": {"web": "SELECT", "maintenance": "INSERT SELECT UPDATE"},
    "tenants": {"web": "SELECT", "maintenance": "INSERT SELECT UPDATE"},
    "api_keys": {"maintenance": "INSERT SELECT UPDATE"},
    "action_types": {"web": "SELECT", "worker": "SELECT", "maintenance": "SELECT"},
    "sandbox_contacts": {"web": "DELETE INSERT SELECT UPDATE", "maintenance": "DELETE"},
    "sandbox_items": {"web": "DELETE INSERT SELECT UPDATE", "maintenance": "DELETE"},
    "provider_accounts": {"maintenance": "DELETE INSERT SELECT UPDATE", "web": "SELECT"},
    "documents": {"web": "DELETE INSERT SELECT UPDATE"},
    "document_versions": {"web": "INSERT SELECT"},
    "log_batches_seq": {"worker": "USAGE"},
    "alert_rules": {"web": "DELETE INSERT SELECT UPDATE", "maintenance": MANAGES},
    "alert_channels": {"web": "DELETE INSERT", "maintenance": MANAGES},
    "alerts": {"web": "SELECT", "maintenance": MANAGES},
    "alert_events": {"web": "INSERT SELECT", "maintenance": MANAGES},
    "alert_deliveries": {"web": "INSERT SELECT", "maintenance": MANAGES},
    "alert_cursors": {"web": "INSERT SELECT", "maintenance": MANAGES},
    "recent_minutes": {"maintenance": MANAGES},
    "legal_holds": {"maintenance": "INSERT SELECT"},
    "purged_segments": {"maintenance": "INSERT SELECT"},
    "erasures": {"maintenance": "INSERT SELECT UPDATE"},
    "forward_destinations": {"web": "DELETE INSERT", "maintenance": MANAGES},
    "forward_cursors": {"maintenance": MANAGES},
    "forward_dead_letters": {"web": "DELETE SELECT", "maintenance": MANAGES},
    "forward_replays": {"web": "INSERT SELECT", "maintenance": MANAGES},
    "stream_tickets": {"web": "DELETE INSERT SELECT"},
    "saved_views": {"web": "DELETE INSERT SELECT", "maintenance": "SELECT"},
}


def test_each_role_is_granted_just_what_it_needs(migrated: Migrated) -> None:
    """The whole table of grants; a new one has to be written here as well."""
    migrated.upgrade()
    found: dict[str, dict[str, set[str]]] = {}
    for table, role, privilege in migrated.ask(
        "SELECT relname, grantee::regrole::text, privilege_type FROM pg_class, aclexplode(relacl)"
        " WHERE relnamespace = 'public'::regnamespace"
    ):
        if role != "opsledger_owner" and table != "alembic_version":
            short = role.removeprefix("opsledger_")
            found.setdefault(table, {}).setdefault(short, set()).add(privilege)
    shown = {
        table: {role: " ".join(sorted(privileges)) for role, privileges in roles.items()}
        for table, roles in found.items()
    }
    assert shown == GRANTS
    columns = migrated.ask(
        "SELECT attrelid::regclass::text, attname, grantee::regrole::text, privilege_type"
        " FROM pg_attribute, aclexplode(attacl)"
        " WHERE attrelid::regclass::text IN ('archives', 'saved_views', 'tenants') ORDER BY 1, 2"
    )
    assert columns == [
        ("archives", "restored_until", "opsledger_maintenance", "UPDATE"),
        ("saved_views", "name", "opsledger_maintenance", "UPDATE"),
        ("saved_views", "query", "opsledger_maintenance", "UPDATE"),
        ("tenants", "id", "opsledger_worker", "SELECT"),
    ]


def test_functions_that_run_as_the_owner_are_few_and_closed(latest: Migrated) -> None:
    """Each with a fixed search_path, and for the roles that need it alone."""
    found = latest.ask(
        "SELECT proname, proconfig::text, array_to_string(ARRAY(SELECT grantee::regrole::text"
        " FROM aclexplode(proacl) WHERE grantee <> proowner ORDER BY 1), ' ')"
        " FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace ORDER BY 1"
    )
    assert [(name, roles) for name, _, roles in found] == [
        ("add_action_type", "opsledger_maintenance"),
        ("drop_archived", "opsledger_maintenance"),
        ("drop_released", "opsledger_maintenance"),
        ("ensure_partition", "opsledger_maintenance opsledger_worker"),
        ("erase_rows", "opsledger_maintenance"),
        ("find_api_key", "opsledger_web"),
        ("forward_state", "opsledger_maintenance opsledger_web"),
        ("look_up_api_key", "opsledger_web"),
        ("look_up_held_key", "opsledger_web"),
        ("pipeline_state", "opsledger_maintenance opsledger_web"),
        ("purge_rows", "opsledger_maintenance"),
        ("redaction_policies", "opsledger_web"),
        ("release_restored", "opsledger_maintenance"),
        ("restore_partition", "opsledger_maintenance"),
    ]
    for _, config, _ in found:
        assert "search_path=public, pg_temp" in config


def test_the_roles_exist_and_may_do_little(latest: Migrated) -> None:
    """Neither superuser nor bypassing row-level security, nor making databases or roles."""
    found = latest.ask(
        "SELECT rolname, rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb FROM pg_roles"
        " WHERE rolname LIKE 'opsledger%' AND rolname <> 'opsledger_owner' ORDER BY 1"
    )
    assert found == [(role, False) for role in sorted(ROLES)]


def test_an_index_reaches_the_partitions_that_are_there_and_those_to_come(
    migrated: Migrated,
) -> None:
    """Built beside running writes, attached one by one, and again where a try was cut short."""
    migrated.upgrade("0010_dead_letters_retry")
    with migrated.owner() as connection:
        for parent in ("action_logs", "audit_logs"):
            for moment in ("2026-01-05", "2026-01-12"):
                connection.execute(text(f"SELECT ensure_partition('{parent}', '{moment}')"))
        # What a try leaves that was ended in the middle of the first partition.
        connection.execute(
            text("CREATE INDEX action_logs_batch_idx ON ONLY action_logs (batch_id)")
        )
        connection.execute(
            text("CREATE INDEX action_logs_2026w02_batch_id_idx ON action_logs_2026w02 (batch_id)")
        )
    migrated.upgrade()
    with migrated.owner() as connection:
        connection.execute(text("SELECT ensure_partition('action_logs', '2026-01-19')"))
    found = migrated.ask(
        "SELECT indrelid::regclass::text, indisvalid FROM pg_index"
        " JOIN pg_inherits ON inhrelid = indexrelid WHERE inhparent IN"
        " ('action_logs_batch_idx'::regclass, 'audit_logs_batch_idx'::regclass) ORDER BY 1"
    )
    leaves = [f"action_logs_2026w{week:02}" for week in (2, 3, 4)]
    leaves += [f"audit_logs_2026w{week:02}" for week in (2, 3)]
    assert found == [(leaf, True) for leaf in leaves]


def test_migrations_can_be_printed_as_sql(
    migrated: Migrated, capsys: pytest.CaptureFixture[str]
) -> None:
    """For a review, for a linter, and for those who let no tool near their database."""
    app = create_app(migrated.settings)
    with app.app_context():
        flask_migrate.upgrade(directory=str(MIGRATIONS), sql=True)
    close_app(app, grace_s=0)
    printed = capsys.readouterr().out
    assert "CREATE TABLE action_logs" in printed
    assert script().get_current_head() in printed
    assert migrated.ask("SELECT to_regclass('action_logs')") == [None]


def test_two_hosts_that_migrate_at_once_migrate_once(migrated: Migrated) -> None:
    """The second waits for the first and then finds nothing to do."""
    settings = migrated.settings
    urls = {item.metadata["name"]: getattr(settings, item.name) for item in setting_fields()}
    given = {name: value for name, value in urls.items() if name.endswith("DATABASE_URL")}
    argv = [sys.executable, "-m", "flask", "--app", "wsgi", "db", "upgrade"]
    environment = {**os.environ, **given, "OPSLEDGER_DATA_DIR": str(settings.data_dir)}
    runners = [
        subprocess.Popen(argv, env=environment, cwd=MIGRATIONS.parent, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    for runner in runners:
        _, said = runner.communicate(timeout=60)
        assert runner.returncode == 0, said.decode()
    assert migrated.revision == script().get_current_head()


def test_a_migration_does_not_wait_long_for_a_lock(migrated: Migrated) -> None:
    """It would queue every query of the platform behind itself; later it can be run again."""
    migrated.upgrade("0010_dead_letters_retry")
    before = migrated.revision
    with migrated.owner() as reader:
        for table in ("dead_letters", "log_batches", "action_logs"):  # a long transaction
            reader.execute(text(f"SELECT count(*) FROM {table}"))
        started = time.monotonic()
        with pytest.raises(OperationalError, match="lock timeout"):
            migrated.downgrade()
        assert time.monotonic() - started < 5
    assert migrated.revision == before
    migrated.downgrade()
    assert migrated.revision != before
