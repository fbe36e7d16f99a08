"""What an operator may change of tenants: their names, whether they are served, their settings."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from ..config import Settings
from ..domain import tenancy
from ..domain.access import OPERATOR_TENANT_ID, Tenant
from ..errors import Conflict
from ..pipeline.capacity import StorageReport, measure
from ..store import tenants as store
from ..store.session import Database
from .keys import KeyAdministration
from .managing import PutOnRecord, managing, the_tenant

NO_REDACTION_KEY = (
    "Set OPSLEDGER_REDACTION_KEY on all hosts first: with it they know that tenants have policies,"
    " and withhold what one could conceal until they know it"
)


class Administration:
    """The changes of tenants and their settings; `keys` has those of keys.

    Args:
        database: the maintenance role's.
        put_on_record: called after each change.
        environment: stands in every new key.
        may_conceal: whether the platform has the key that redaction policies need.
        retention_days: the least and the most days for which a tenant may have its logs kept.
    """

    def __init__(
        self,
        database: Database,
        put_on_record: PutOnRecord,
        environment: str,
        *,
        may_conceal: bool,
        retention_days: tuple[int, int],
    ) -> None:
        self._database = database
        self._put_on_record = put_on_record
        self._may_conceal = may_conceal
        self._retention_days = retention_days
        self.keys = KeyAdministration(database, put_on_record, environment)

    def storage(self, settings: Settings) -> StorageReport:
        """How storage stands, of all tenants."""
        with managing(self._database, snapshot=True) as session:
            return measure(session, settings)

    def tenants(self, after: UUID | None, limit: int) -> list[Tenant]:
        """A page of all tenants, oldest first."""
        with managing(self._database) as session:
            return store.list_tenants(session, after=after, limit=limit)

    def tenant(self, name: str) -> Tenant:
        """The tenant of a slug or id.

        Raises:
            NoSuchTenant: there is none.
        """
        with managing(self._database) as session:
            return the_tenant(session, name)

    def create_tenant(self, slug: str, name: str | None = None) -> Tenant:
        """Make a tenant.

        Raises:
            InvalidInput: names the field and its rule.
            Conflict: the slug is taken.
        """
        tenancy.check_slug(slug)
        shown = slug if name is None else name
        tenancy.check_name(shown, tenancy.TENANT_NAME_CHARS_MAX)
        with managing(self._database) as session:
            if not store.add_tenant(session, tenant_id=uuid7(), name=shown, slug=slug):
                raise Conflict(f"There is a tenant {slug!r} already")
            made = the_tenant(session, slug)
        about = {"name": shown, "slug": slug}
        self._put_on_record(made.id, "create", "tenant", str(made.id), after=about)
        return made

    def change_tenant(
        self, name: str, *, shown_name: str | None = None, is_active: bool | None = None
    ) -> tuple[Tenant, bool]:
        """Give a tenant another name, or stop or start to serve its keys; and whether that is news.

        Raises:
            NoSuchTenant: there is none of this slug or id.
            InvalidInput: the new name breaks its rule.
            Conflict: the operator tenant cannot be deactivated.
        """
        if shown_name is not None:
            tenancy.check_name(shown_name, tenancy.TENANT_NAME_CHARS_MAX)
        wanted: dict[str, Any] = {"name": shown_name, "is_active": is_active}
        with managing(self._database) as session:
            old = the_tenant(session, name, lock=True)
            values = {
                field: value
                for field, value in wanted.items()
                if value is not None and value != getattr(old, field)
            }
            if values.get("is_active") is False and old.id == OPERATOR_TENANT_ID:
                raise Conflict("The operator tenant cannot be deactivated")
            if values:
                store.change_tenant(session, old.id, values)
        if values:
            act = "activate" if is_active else "deactivate"
            act = act if set(values) == {"is_active"} else "update"
            before = {field: getattr(old, field) for field in values}
            self._put_on_record(old.id, act, "tenant", str(old.id), before=before, after=values)
        return replace(old, **values), bool(values)

    def settings(self, name: str) -> dict[str, Any]:
        """What is set for a tenant, by name.

        Raises:
            NoSuchTenant: there is none of this slug or id.
        """
        with managing(self._database) as session:
            return store.get_settings(session, the_tenant(session, name).id)

    def change_settings(self, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Set what is given for a tenant, drop what is given as null; returns all that is set then.

        Raises:
            NoSuchTenant: there is none of this slug or id.
            InvalidInput: names the setting and its rule.
            Conflict: a redaction policy, on a platform without the key that it needs.
        """
        given, dropped = tenancy.read_settings(values)
        tenancy.check_retention(given, *self._retention_days)
        if tenancy.REDACTION in given and not self._may_conceal:
            raise Conflict(NO_REDACTION_KEY)
        with managing(self._database) as session:
            tenant = the_tenant(session, name, lock=True)
            old = store.get_settings(session, tenant.id)
            store.set_settings(session, tenant.id, given, drop=dropped)
            new = store.get_settings(session, tenant.id)
        before, after = ({key: of.get(key) for key in values} for of in (old, new))
        if before != after:
            self._put_on_record(
                tenant.id, "set", "tenant_settings", str(tenant.id), before=before, after=after
            )
        return new
