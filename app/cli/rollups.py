"""flask rollups: hold the statistics against the records, and fold what waits."""

from collections.abc import Iterator
from itertools import chain, islice
from uuid import UUID

import click
from flask.cli import AppGroup

from ..errors import ArchiveUnavailable, StoreUnavailable
from ..pipeline.folding import fold_waiting
from ..store.cold import ColdStore
from ..store.places import open_archive
from ..store.rollup_check import find_differences, list_tenant_ids
from .support import database, maintaining, print_table, settings, the_tenant

COLD_S_MAX = 600.0  # one query of the archive
SHOWN_MAX = 1000  # differences; more say nothing new

rollups = AppGroup("rollups", help="Check what statistics are made of, and fold what waits.")


@rollups.command("verify")
@click.option("--tenant", help="Slug or id of one tenant; without, all of them.")
def verify_rollups(tenant: str | None) -> None:
    """Hold the rollups against every record.

    The exit status is 1 if they differ in a cell.
    """
    with maintaining() as session:
        wanted = [the_tenant(session, tenant).id] if tenant else list_tenant_ids(session)
    try:
        rows = list(islice(chain.from_iterable(map(_differences, wanted)), SHOWN_MAX))
    except ArchiveUnavailable as error:
        raise click.ClickException(error.detail) from error
    if rows:
        header = ("TENANT", "KIND", "GRAIN", "START", "CELL", "PART", "ROLLUP", "RECORDS")
        print_table(header, rows)
        raise click.ClickException("The rollups are not what the records add up to")
    click.echo(f"The rollups of {len(wanted)} tenants are what their records add up to")


def _differences(tenant_id: UUID) -> Iterator[tuple[object, ...]]:
    cold = ColdStore(open_archive(settings()), timeout_s=COLD_S_MAX)
    with maintaining(snapshot=True) as session:
        for found in find_differences(session, tenant_id, cold):
            unit = (found.tenant_id, found.kind.value, found.grain.value, found.start)
            yield *unit, " ".join(found.names), found.part, found.rollup, found.records


@rollups.command("fold")
def fold_rollups() -> None:
    """Fold all that waits, as beat has it done every second."""
    try:
        batches = fold_waiting(database(), batches=1, run_s_max=float("inf"))
    except StoreUnavailable as error:
        raise click.ClickException(error.detail) from error
    click.echo(f"{batches} batches folded")
