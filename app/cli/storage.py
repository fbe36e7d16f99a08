"""flask storage: what the logs take, by tenant and month, how fast that grows, when it is full."""

from typing import Any

import click
from flask.cli import with_appcontext

from ..domain.storage import Usage
from ..pipeline.capacity import StorageReport
from ..store.tenants import find_tenant
from .support import administering, maintaining, print_table, settings


@click.command("storage")
@click.option("--by-tenant/--totals", default=True, help="Each tenant and month, or all together.")
@with_appcontext
def storage(by_tenant: bool) -> None:
    """Show what Postgres and the archive hold, and when a disk is full.

    With a warning the exit status is 1. Thresholds: OPSLEDGER_STORAGE_WARN_….
    """
    with administering() as administration:
        report = administration.storage(settings())
    if by_tenant:
        _print_usages(report)
        click.echo()
    _print_disks(report)
    click.echo(_archive(report))
    for warning in report.warnings:
        click.echo(f"WARNING: {warning}")
    if report.warnings:
        raise click.exceptions.Exit(1)


def _print_usages(report: StorageReport) -> None:
    slugs: dict[Any, str] = {}
    with maintaining() as session:
        for tenant_id in {usage.tenant_id for usage in report.usages}:
            tenant = find_tenant(session, str(tenant_id))
            slugs[tenant_id] = tenant.slug if tenant else str(tenant_id)
    rows = [
        (f"{usage.month:%Y-%m}", slugs[usage.tenant_id], *_cells(usage)) for usage in report.usages
    ]
    print_table(
        (
            *("MONTH", "TENANT", "LOG", "HOT ROWS", "HEAP BYTES", "INDEX BYTES", "COLD ROWS"),
            *("COLD BYTES", "RESTORED"),
        ),
        rows,
    )


def _cells(usage: Usage) -> tuple[object, ...]:
    return (
        *(usage.kind.value, usage.hot_rows, usage.heap_bytes, usage.index_bytes, usage.cold_rows),
        *(usage.cold_bytes, usage.restored_rows),
    )


def _print_disks(report: StorageReport) -> None:
    rows = [
        (disk.name, disk.bytes_used, disk.bytes_total, disk.bytes_per_day, disk.days_until_full)
        for disk in report.disks
    ]
    print_table(("DISK", "BYTES USED", "BYTES IN ALL", "A DAY", "DAYS UNTIL FULL"), rows)


def _archive(report: StorageReport) -> str:
    state = report.archive
    if state is None:
        return "The archive never ran"
    if state.reason is not None:
        return f"The archive fails, {state.reason.value}: {state.detail}"
    return f"The archive's last run was {state.outcome}"
