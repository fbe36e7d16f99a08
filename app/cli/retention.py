"""flask retention: how long tenants' records are kept, and the purge of what is past it."""

import click
from flask.cli import AppGroup

from ..domain.records import Kind
from ..domain.tenancy import DAYS_SETTINGS, RETENTION_DAYS_MAX
from ..errors import OpsledgerError
from ..pipeline.purging import Purger
from ..store.places import open_archive
from .support import administering, database, print_table, settings

FOR_EVER = "ever"

retention = AppGroup("retention", help="How long tenants' records are kept.")


class Days(click.ParamType[int]):
    """A number of days; `ever`, for ever, is 0."""

    name = "days"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Read it.

        Raises:
            BadParameter: it is neither.
        """
        text = str(value)
        if text == FOR_EVER:
            return 0
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= RETENTION_DAYS_MAX:
            self.fail(f"must be from 1 to {RETENTION_DAYS_MAX}, or {FOR_EVER}", param, ctx)
        return int(text)


@retention.command("set")
@click.argument("tenant")
@click.option("--actions", type=Days(), help="Days, or ever.")
@click.option("--audits", type=Days(), help="Days, or ever.")
def set_retention(tenant: str, actions: int | None, audits: int | None) -> None:
    """Set for how many days TENANT (slug or id) has its logs kept, hot and archived together.

    What is older goes with the next purge, for ever.
    """
    given = {Kind.ACTION: actions, Kind.AUDIT: audits}
    chosen = {DAYS_SETTINGS[kind]: days or None for kind, days in given.items() if days is not None}
    if not chosen:
        raise click.UsageError("Give --actions or --audits")
    with administering() as administration:
        now = administration.change_settings(tenant, chosen)
    for kind, name in DAYS_SETTINGS.items():
        days = now.get(name)
        click.echo(f"{kind.value}s: {f'{days} days' if days else 'kept for ever'}")


@retention.command("list")
def list_retention() -> None:
    """List what is not kept for ever, and how many records are past their time."""
    try:
        found = _purger().plan()
    except OpsledgerError as error:
        raise click.ClickException(error.detail) from error
    print_table(
        ("TENANT", "LOG", "DAYS", "KEPT FROM", "HOT, PAST IT", "ARCHIVED, PAST IT"),
        [
            (
                *(plan.of.tenant_id, f"{plan.of.kind.value}s", plan.of.days, plan.edge),
                *(plan.hot, plan.cold),
            )
            for plan in found
        ],
    )


@retention.command("purge")
def run_purge() -> None:
    """Purge what is past its time now, as beat has it done."""
    try:
        report = _purger().run(run_s_max=float("inf"))
    except (OpsledgerError, OSError) as error:
        raise click.ClickException(str(error)) from error
    if report is None:
        raise click.ClickException("Somebody is at work on the archive; try again later")
    click.echo(f"{report.hot} hot and {report.cold} archived records purged")
    for what, records in report.held.items():
        click.echo(f"{records} {what} are past their time and kept by legal holds")
    for what, reason in report.waiting.items():
        click.echo(f"{what} waits: {reason}")


def _purger() -> Purger:
    return Purger(database(), open_archive(settings()))
