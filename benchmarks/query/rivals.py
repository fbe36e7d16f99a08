"""The same rows in other schemas: the naive one of single-column indexes, and django-auditlog's, as
its own migrations make it.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from psycopg2.extensions import connection
from sqlalchemy import make_url

from app.domain.codec import COLUMNS
from app.domain.filters import ActionFilter, AuditFilter
from app.store.columns import DEFINITIONS, TABLES
from benchmarks.support import Bench

from .lists import LIMIT, Probe
from .rows import AUDIT_ACTIONS, RESOURCES

PACKAGES = ("django-auditlog==3.0.0", "Django==5.2.8", "psycopg2-binary")
INSTALL_S_MAX = 120
NAIVE = {
    "action_logs": ("tenant_id", "action_type", "status", "provider_name", "created_at DESC"),
    "audit_logs": (
        *("tenant_id", "action", "resource_type", "user_id", "ip_address"),
        "created_at DESC",
    ),
}
SITE = """
from django.conf import settings
import django, sys
settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "auditlog"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField", USE_TZ=True,
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "opsledger",
        "HOST": sys.argv[1], "PORT": sys.argv[2], "USER": sys.argv[3], "PASSWORD": sys.argv[4],
        "OPTIONS": {"options": "-c search_path=rival"}}})
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
"""
# It knows no tenants; people keep one in additional_data. Actions are numbers, users are rows.
COPY_AUDITS = """
    SET search_path = rival;
    INSERT INTO auth_user (username, password, is_superuser, first_name, last_name, email, is_staff,
        is_active, date_joined)
    SELECT DISTINCT user_id, '', false, '', '', '', false, true, now() FROM public.audit_logs;
    INSERT INTO django_content_type (app_label, model) SELECT 'ours', unnest(%(resources)s);
    INSERT INTO auditlog_logentry (object_pk, object_id, object_repr, action, changes, timestamp,
        actor_id, content_type_id, remote_addr, additional_data, cid, changes_text)
    SELECT l.resource_id, NULL, l.resource_id, array_position(%(actions)s, l.action::text),
        l.changes, l.created_at, u.id, t.id, l.ip_address::inet,
        jsonb_build_object('tenant', l.tenant_id), NULL, ''
    FROM public.audit_logs l JOIN auth_user u ON u.username = l.user_id
    JOIN django_content_type t ON t.app_label = 'ours' AND t.model = l.resource_type
    ORDER BY l.created_at;
    RESET search_path;
"""


def make_naive(plain: connection) -> None:
    """Both logs in one table each, with an index for every column that is filtered by."""
    cursor = plain.cursor()
    for kind, log in TABLES.items():
        columns = ", ".join(COLUMNS[kind])
        definition = DEFINITIONS[kind].removesuffix(", batch_id uuid")
        cursor.execute(f"CREATE TABLE naive_{log} ({definition}, PRIMARY KEY (id))")
        cursor.execute(
            f"INSERT INTO naive_{log} ({columns}) SELECT {columns} FROM {log} ORDER BY created_at"
        )
        for column in NAIVE[log]:
            cursor.execute(f"CREATE INDEX ON naive_{log} ({column})")
        cursor.execute(f"VACUUM ANALYZE naive_{log}")


def make_auditlog(bench: Bench, plain: connection) -> bool:
    """django-auditlog's table with our audits; False if the package cannot be had here."""
    venv = Path(bench.folder) / "rival"
    python = venv / "bin" / "python"
    try:
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True, capture_output=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", *PACKAGES]
        subprocess.run(pip, check=True, capture_output=True, timeout=INSTALL_S_MAX)
    except (subprocess.SubprocessError, OSError) as error:
        print(f"  django-auditlog is left out, as it cannot be installed here: {error}")
        return False
    cursor = plain.cursor()
    cursor.execute("CREATE SCHEMA rival")
    url = make_url(bench.postgres.superuser_url)
    given = [str(part) for part in (url.host, url.port, url.username, url.password)]
    made = [str(python), "-c", SITE, *given]
    subprocess.run(made, check=True, capture_output=True, env={"PATH": os.defpath})
    cursor.execute(COPY_AUDITS, {"resources": list(RESOURCES), "actions": list(AUDIT_ACTIONS)})
    cursor.execute("VACUUM ANALYZE rival.auditlog_logentry")
    return True


def naive_query(probe: Probe, tenant_id: UUID) -> tuple[str, list[Any]]:
    """The list, as the naive schema is asked for it."""
    actions = isinstance(probe.filters, ActionFilter)
    columns = (
        "id, tenant_id, action_type, provider_name, status, error_message, execution_time_ms"
        if actions
        else "id, tenant_id, action, resource_type, resource_id, user_id, changes, ip_address"
    )
    where, values = ["tenant_id = %s"], [str(tenant_id)]
    for condition, value in _conditions(probe.filters):
        where.append(condition)
        values.append(value)
    log = "action_logs" if actions else "audit_logs"
    return (
        f"SELECT {columns}, created_at FROM naive_{log} WHERE {' AND '.join(where)}"
        f" ORDER BY created_at DESC, id DESC LIMIT {LIMIT}"
    ), values


def auditlog_query(probe: Probe, tenant_id: UUID) -> tuple[str, list[Any]]:
    """The list of audits, as django-auditlog's table is asked for it."""
    names = {
        "action": ("e.action = %s", _position),
        "resource_type": ("t.model = %s", str),
        "resource_id": ("e.object_pk = %s", str),
        "user_id": ("u.username = %s", str),
        "ip_address": ("e.remote_addr = %s::inet", str),
    }
    where, values = ["e.additional_data->>'tenant' = %s"], [str(tenant_id)]
    for name, (condition, convert) in names.items():
        value = getattr(probe.filters, name)
        if value is not None:
            where.append(condition)
            values.append(convert(value))
    return (
        "SELECT e.*, u.username, t.model FROM rival.auditlog_logentry e"
        " LEFT JOIN rival.auth_user u ON u.id = e.actor_id"
        " JOIN rival.django_content_type t ON t.id = e.content_type_id"
        f" WHERE {' AND '.join(where)} ORDER BY e.timestamp DESC LIMIT {LIMIT}"
    ), values


def _position(action: str) -> int:
    return [*AUDIT_ACTIONS, action].index(action) + 1


def _conditions(filters: ActionFilter | AuditFilter) -> Iterator[tuple[str, Any]]:
    for item in fields(filters):
        value: Any = getattr(filters, item.name)
        if value in (None, ()):
            continue
        if item.name in ("since", "until"):
            assert isinstance(value, datetime)
            yield f"created_at {'>=' if item.name == 'since' else '<'} %s", value
        elif item.name == "min_execution_time_ms":
            yield "execution_time_ms >= %s", value
        elif isinstance(value, tuple):
            yield f"{item.name} = ANY(%s)", list(value)
        else:
            yield f"{item.name} = %s", value
