"""flask erase: remove what names a person from a tenant's records, and keep the facts."""

from datetime import UTC, datetime
from typing import Any

import click
from flask.cli import with_appcontext
from uuid_utils.compat import uuid7

from ..domain.erasure import Erasure, ErasureState, Subject, SubjectKind, read_subject
from ..errors import InvalidInput, OpsledgerError
from ..pipeline.erasing import ErasureReport
from ..pipeline.erasures import Erasures
from ..pipeline.persist import Persister
from ..store.erasures import add_erasure, find_confirmed
from ..store.session import Database
from .support import database, maintaining, print_table, settings, the_tenant, whoami


class SubjectType(click.ParamType[Subject]):
    """user_id=… or email=…."""

    name = "subject"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Subject:
        """Read it.

        Raises:
            BadParameter: it is no such text.
        """
        if isinstance(value, Subject):
            return value
        kind, _, name = str(value).partition("=")
        try:
            return read_subject(kind, name)
        except InvalidInput as error:
            self.fail(f"must be {'=… or '.join(SubjectKind)}=…: {error.detail}", param, ctx)


@click.command("erase")
@click.option("--tenant", required=True, help="Slug or id.")
@click.option("--subject", required=True, type=SubjectType(), help="user_id=… or email=…")
@click.option("--dry-run", is_flag=True, help="Only say what would be found.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_appcontext
def erase(tenant: str, subject: Subject, dry_run: bool, yes: bool) -> None:
    """Put [erased] in the place of what names a person, hot and archived (GDPR, article 17).

    It is shown first how many records name the person. What a legal hold covers stays, and is
    counted. An erasure that was cut short is gone on with by the same command.
    """
    with maintaining() as session:
        found = the_tenant(session, tenant)
    worker = Database.connect(settings().url_of("worker"))
    erasures = Erasures(database(), settings(), Persister(worker))
    try:
        _print(erasures.preview(found.id, subject), "FOUND")
        if dry_run:
            return
        if not yes:
            click.confirm("Erase what was found? It cannot be undone", abort=True)
        erasure = _confirmed(found.id, subject)
        _print(erasures.carry_out(erasure, subject), "FOUND", "ERASED")
    except (OpsledgerError, OSError) as error:
        raise click.ClickException(f"{error}; the same command goes on with it") from error
    finally:
        worker.close()
    click.echo(f"Erasure {erasure.id} is done")


def _confirmed(tenant_id: Any, subject: Subject) -> Erasure:
    """The erasure that was begun, or a new one."""
    with maintaining() as session:
        begun = find_confirmed(session, tenant_id, subject)
        if begun is not None:
            return begun
        who, now = whoami(), datetime.now(UTC)
        new = Erasure(
            tenant_id=tenant_id,
            id=uuid7(),
            subject_kind=subject.kind,
            subject=subject,
            state=ErasureState.CONFIRMED,
            requested_by=who,
            requested_at=now,
            confirmed_by=who,
            confirmed_at=now,
        )
        add_erasure(session, new, subject)
    return new


def _print(report: ErasureReport, *columns: str) -> None:
    places = sorted(+(report.found + report.erased))
    shown = [*columns, "HELD"]
    counts = [getattr(report, name.lower()) for name in shown]
    print_table(("RECORDS", *shown), [(where, *(c[where] for c in counts)) for where in places])
    for reason in report.unsearched:
        click.echo(f"Not looked through: {reason}")
