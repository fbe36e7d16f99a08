"""flask restore: archived records back to Postgres for some days, and let go again."""

from datetime import UTC, datetime, timedelta

import click
from flask.cli import with_appcontext

from ..domain.identity import format_time
from ..errors import OpsledgerError
from ..pipeline.restoring import find_archived, release, restore
from ..store.places import open_archive
from .support import audit, database, maintaining, settings, the_tenant

DAYS_MAX = 365  # what is needed for longer belongs into the hot window
TIME = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"])


@click.command("restore")
@click.option("--tenant", "name", required=True, help="Slug or id.")
@click.option("--since", type=TIME, required=True, help="The first day, in UTC.")
@click.option("--until", type=TIME, required=True, help="The day after the last.")
@click.option(
    "--days",
    default=7,
    show_default=True,
    type=click.IntRange(1, DAYS_MAX),
    help="For how many days from now.",
)
@click.option("--release", "let_go", is_flag=True, help="Let go now of what is restored there.")
@with_appcontext
def restore_records(name: str, since: datetime, until: datetime, days: int, let_go: bool) -> None:
    """Bring archived records back to Postgres for some days, or let go of them.

    Whole days of UTC come back, of actions and audits. They are in every answer then, as if they
    had never been archived, and stay in the archive, too. Said again, it keeps them longer.
    """
    first, end = (moment.replace(tzinfo=UTC) for moment in (since, until))
    if first >= end:
        raise click.BadParameter("must be after --since", param_hint="--until")
    with maintaining() as session:
        tenant = the_tenant(session, name)
    objects, window = open_archive(settings()), (first, end)
    what = f"{format_time(first)}/{format_time(end)}"
    try:
        if let_go:
            gone = release(database(), objects, tenant_id=tenant.id, since=first, until=end)
            audit(tenant.id, "release", "archive", what, before={"restored_records": gone})
            click.echo(f"{gone} records are in the archive alone again")
            return
        segments = find_archived(database(), tenant.id, *window)
        total = sum(segment.content.row_count for segment in segments)
        keep_until = datetime.now(UTC) + timedelta(days=days)
        with click.progressbar(length=total, label="restoring") as bar:
            report = restore(
                *(database(), objects, tenant.id, *window),
                keep_until=keep_until,
                progress=bar.update,
            )
    except (OpsledgerError, OSError) as error:
        raise click.ClickException(str(error)) from error
    after = {"restored_records": report.rows, "restored_until": format_time(keep_until)}
    audit(tenant.id, "restore", "archive", what, after=after)
    click.echo(
        f"{report.rows} records restored until {format_time(keep_until)},"
        f" {report.kept} of before kept at least as long"
    )
    if report.hot:
        click.echo(f"{report.hot} days with late records are left out: their weeks are hot")
