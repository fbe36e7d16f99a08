"""flask demo: the tenant and key that `make run` starts with."""

from datetime import UTC, datetime

import click
from flask.cli import with_appcontext
from uuid_utils.compat import uuid7

from ..auth import hash_secret
from ..domain.access import ApiKey, Scope
from ..store import tenants as store
from .support import audit, extension, maintaining, settings

DEMO_SLUG = "demo"
DEMO_SECRET = "test-api-key-12345"  # noqa: S105 - public by purpose; refused outside `make run`  # nosec B105


@click.command("demo")
@with_appcontext
def demo() -> None:
    """Create the demo tenant and its public key; only where OPSLEDGER_DEMO is set."""
    if not settings().demo:
        raise click.ClickException(
            "The demo key is public, so it exists under `make run` only (OPSLEDGER_DEMO=1)"
        )
    tenant_id = uuid7()
    with maintaining() as session:
        if not store.add_tenant(session, tenant_id=tenant_id, name="Demo", slug=DEMO_SLUG):
            click.echo("The demo tenant is there")
            return
        key = ApiKey(
            tenant_id=tenant_id,
            id=uuid7(),
            name="demo",
            prefix=DEMO_SECRET[:8],
            scopes=tuple(scope.value for scope in Scope if scope is not Scope.ADMIN),
            created_at=datetime.now(UTC),
            expires_at=None,
            revoked_at=None,
            last_used_at=None,
        )
        store.add_key(session, key, hash_secret(DEMO_SECRET))
    audit(tenant_id, "create", "tenant", str(tenant_id), after={"name": "Demo", "slug": DEMO_SLUG})
    extension().shipper.stop(grace_s=0)  # `make run` starts the worker next, which ships it
    click.echo(f"Created the demo tenant {tenant_id}")
