"""flask archive: move what has left the hot window to the archive, and look at it."""

import click
from flask.cli import AppGroup

from ..errors import OpsledgerError
from ..pipeline.archiving import Archiver, Progress
from ..store.archives import HotDay
from ..store.places import open_archive
from .support import database, print_table, settings

archive = AppGroup("archive", help="Move old weeks to the archive.")


@archive.command("run")
@click.option("--dry-run", is_flag=True, help="Only say what would be archived.")
def run_archive(dry_run: bool) -> None:
    """Archive every week older than the hot window, as beat has it done."""
    try:
        _show_plan() if dry_run else _run()
    except (OpsledgerError, OSError) as error:
        raise click.ClickException(f"Nothing was dropped for it: {error}") from error


def _show_plan() -> None:
    plan = _archiver().plan()
    rows = [
        (partition.name, len({day.of.tenant_id for day in days}), len(days), _rows(days))
        for partition, days in plan
    ]
    print_table(("PARTITION", "TENANTS", "FILES", "RECORDS"), rows)


def _run() -> None:
    total = sum(_rows(days) for _, days in _archiver().plan())
    with click.progressbar(length=total, label="archiving") as bar:
        report = _archiver(bar.update).run(run_s_max=float("inf"))
    if report is None:
        raise click.ClickException("Another runner is at it")
    click.echo(f"{report.rows} records exported, {len(report.dropped)} partitions dropped")
    for partition, reason in report.waiting.items():
        click.echo(f"{partition} waits: {reason}")


def _archiver(progress: Progress | None = None) -> Archiver:
    objects = open_archive(settings())
    return Archiver(database(), objects, hot_days=settings().hot_days, progress=progress)


def _rows(days: list[HotDay]) -> int:
    return sum(day.rows for day in days)
