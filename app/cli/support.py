"""What the commands share: the maintenance role's database, the audit of their acts, tables."""

import getpass
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import click
import flask

from ..administration import Administration, KeyExpired, NoSuchKey, NoSuchTenant
from ..capture import AuditService
from ..capture.recorder import EXTENSION
from ..config import Settings
from ..custody import Custody, NoSuchHold
from ..domain.access import Tenant
from ..domain.identity import format_time
from ..errors import InvalidInput, OpsledgerError, StoreUnavailable
from ..extension import Opsledger
from ..store.session import Database
from ..store.tenants import find_tenant


def extension() -> Opsledger:
    """Opsledger as the current app has it."""
    found: Opsledger = flask.current_app.extensions[EXTENSION]
    return found


def settings() -> Settings:
    """The settings of the current app."""
    return extension().settings


@cache
def _database(url: str) -> Database:
    return Database.connect(url)


def database() -> Database:
    """The maintenance role's database."""
    return _database(settings().url_of("maintenance"))


@contextmanager
def maintaining(*, snapshot: bool = False) -> Iterator[Any]:
    """A transaction as the maintenance role, over all tenants.

    Args:
        snapshot: whether all its statements shall see the ledger at one and the same moment.
    """
    try:
        with database().unrestricted_unsafe(snapshot=snapshot) as session:
            yield session
    except StoreUnavailable as error:
        raise click.ClickException(error.detail) from error


# What to do about it, as a command.
HINTS = {
    NoSuchTenant: "; see: flask tenants list",
    NoSuchKey: "; see: flask keys list TENANT",
    KeyExpired: ": flask keys create TENANT --name NAME",
    NoSuchHold: "; see: flask legal-hold list",
}


@contextmanager
def administering() -> Iterator[Administration]:
    """What changes tenants and keys; what it refuses ends the command with a sentence."""
    with refusing():
        yield Administration(
            database(),
            audit,
            settings().environment,
            may_conceal=bool(settings().redaction_key),
            retention_days=settings().retention_days,
        )


@contextmanager
def in_custody() -> Iterator[Custody]:
    """What places and releases holds; what it refuses ends the command with a sentence."""
    with refusing():
        yield Custody(database(), audit, who=whoami)


@contextmanager
def refusing() -> Iterator[None]:
    """What is refused ends the command with a sentence, and with what to do about it."""
    try:
        yield
    except InvalidInput as error:
        first = error.errors[0]
        raise click.BadParameter(first.detail, param_hint=first.field.upper()) from error
    except OpsledgerError as error:
        raise click.ClickException(error.detail + HINTS.get(type(error), "")) from error


def audit(
    tenant_id: UUID,
    action: str,
    resource_type: str,
    resource_id: str,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Put an act of the operator on record; it is shipped at the latest when the command ends."""
    context = click.get_current_context()
    AuditService(extension().recorder).log_change(
        tenant_id=tenant_id,
        action=action,
        resource_type=resource_type,
        resource_id=resource_id,
        before=before,
        after=after,
        user_id=whoami(),
        metadata={
            "command": context.command_path,
            "host": socket.gethostname(),
            "outcome": "success",  # what failed changed nothing, and ended before
        },
    )


def whoami() -> str:
    """Who runs the command, as it is put on record."""
    return f"cli:{_user()}"


def the_tenant(session: Any, name: str) -> Tenant:
    """The tenant of a slug or id; ends the command where there is none."""
    tenant = find_tenant(session, name)
    if tenant is None:
        raise click.ClickException(f"There is no tenant {name!r}; see: flask tenants list")
    return tenant


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows in aligned columns."""
    cells = [list(header), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(header))]
    for row in cells:
        line = "  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True))
        click.echo(line.rstrip())


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return format_time(value) if isinstance(value, datetime) else str(value)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's uid may have no name
        return "unknown"
