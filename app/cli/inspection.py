"""flask partitions, spool, doctor: how things stand."""

from datetime import UTC, datetime
from pathlib import Path

import click
import flask
from alembic.script import ScriptDirectory
from flask.cli import AppGroup, with_appcontext

from ..errors import StoreUnavailable
from ..pipeline.checkup import check_up
from ..pipeline.maintenance import ensure_partitions
from ..spool import FileReport, count_records, verify
from ..store.inspection import count_rows
from ..store.partitions import list_partitions
from ..store.session import Database
from .support import extension, maintaining, print_table, settings

partitions = AppGroup("partitions", help="List partitions and make them ahead.")
spool = AppGroup("spool", help="Look at this host's spool, and ship it.")


@partitions.command("list")
def show_partitions() -> None:
    """List the partitions of both logs with their size."""
    with maintaining() as session:
        rows = list_partitions(session)
    print_table(("PARTITION", "KIB"), [(name, size // 1024) for name, size in rows])


@partitions.command("ensure")
def make_partitions() -> None:
    """Make the partitions of this week and the weeks ahead, as beat does."""
    database = Database.connect(settings().url_of("maintenance"))
    try:
        names = ensure_partitions(
            database, now=datetime.now(UTC), weeks_ahead=settings().partitions_ahead_weeks
        )
    except StoreUnavailable as error:
        raise click.ClickException(error.detail) from error
    click.echo("\n".join(names))


@spool.command("status")
def show_spool() -> None:
    """Show what waits on this host's disk."""
    spool = extension().recorder.spool
    status = spool.status()
    print_table(
        ("FILES", "RECORDS", "BYTES", "OLDEST S", "SET ASIDE", "ITS BYTES"),
        [
            (
                *(status.segments, count_records(spool.folder), status.bytes),
                *(round(status.oldest_age_s, 1), status.quarantined, status.quarantined_bytes),
            )
        ],
    )


@spool.command("verify")
def verify_spool() -> None:
    """Check every record in the files of this host, also of those in use; nothing is changed.

    The exit status is 1 if something is damaged. A torn end is no damage: it is what a process
    leaves that was killed in the act.
    """
    reports = list(verify(extension().recorder.spool.folder))
    rows = [(one.name, one.survey.frames, one.bytes, _places(one), _torn(one)) for one in reports]
    print_table(("FILE", "RECORDS", "BYTES", "DAMAGED FROM-TO", "TORN BYTES"), rows)
    if any(report.survey.damaged for report in reports):
        raise click.ClickException("Some bytes are not what was written; see DAMAGED")


@spool.command("ship")
@click.option("--timeout", default=30.0, show_default=True, help="Longest wait, in seconds.")
def ship_spool(timeout: float) -> None:
    """Ship what dead processes of this host left behind, and wait until Postgres has it."""
    if not extension().shipper.flush(timeout):
        raise click.ClickException("Some records still wait on disk; is a worker running?")
    click.echo("Nothing of dead processes waits on this host's disk")


def _places(report: FileReport) -> str:
    return " ".join(f"{start}-{end}" for start, end in report.survey.damaged) or "-"


def _torn(report: FileReport) -> int:
    return report.survey.tail if report.survey.torn else 0


@click.command("doctor")
@with_appcontext
def doctor() -> None:
    """Check every part a record passes, in order, and count what is there.

    What is wrong comes with its cure; then the exit status is 1.
    """
    ill = 0
    for finding in check_up(settings(), _newest_migration()):
        click.echo(f"{finding.part}: {finding.says}")
        if not finding.well:
            click.echo(f"    cure: {finding.cure}")
            ill += 1
    with maintaining() as session:
        for table, rows in count_rows(session).items():
            click.echo(f"{table}: {rows} rows")
    if ill:
        raise click.exceptions.Exit(1)


def _newest_migration() -> str | None:
    """The head of the migrations that this code came with; None where they are not installed."""
    folder = Path(flask.current_app.root_path).parent / "migrations"
    if not folder.is_dir():
        return None
    return ScriptDirectory(str(folder)).get_current_head()
