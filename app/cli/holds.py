"""flask legal-hold: keep records from being purged and erased, and let go of them again."""

import click
from flask.cli import AppGroup

from ..domain.holds import Hold
from .support import in_custody, print_table

legal_hold = AppGroup("legal-hold", help="Keep records from being purged and erased.")


@legal_hold.command("place")
@click.argument("tenant")
@click.option("--reason", required=True, help="Why, as it is put on record: the case, the order.")
@click.option("--resource-type", help="Of a resource whose audits are to be kept.")
@click.option("--resource-id", help="Of that resource.")
@click.option("--user", "user_id", help="Whose records are to be kept: all that have this id.")
def place_hold(
    tenant: str,
    reason: str,
    resource_type: str | None,
    resource_id: str | None,
    user_id: str | None,
) -> None:
    """Keep what TENANT (slug or id) has from being purged and erased, until it is released.

    Without a resource or a user: all of it.
    """
    with in_custody() as custody:
        hold = custody.place_hold(
            tenant, reason, resource_type=resource_type, resource_id=resource_id, user_id=user_id
        )
    click.echo(f"Placed legal hold {hold.id} of {_target(hold)}")


@legal_hold.command("list")
@click.option("--tenant", help="Slug or id of one tenant; without, all of them.")
@click.option("--all", "released", is_flag=True, help="Those that were released, too.")
def list_holds(tenant: str | None, released: bool) -> None:
    """List the holds in force."""
    with in_custody() as custody:
        found = custody.holds(tenant, released=released)
    print_table(
        ("ID", "TENANT", "OF", "REASON", "PLACED", "BY", "RELEASED", "BY"),
        [
            (
                *(hold.id, hold.tenant_id, _target(hold), hold.reason),
                *(hold.placed_at, hold.placed_by, hold.released_at, hold.released_by),
            )
            for hold in found
        ],
    )


@legal_hold.command("release")
@click.argument("hold")
def release_hold(hold: str) -> None:
    """End HOLD (its id): what it alone kept goes with the next purge."""
    with in_custody() as custody:
        over = custody.release_hold(hold)
    click.echo(f"Released legal hold {over.id} of {_target(over)}")


def _target(hold: Hold) -> str:
    of = hold.target
    if of.user_id is not None:
        return f"user {of.user_id}"
    return "the tenant" if of.resource_type is None else f"{of.resource_type} {of.resource_id}"
