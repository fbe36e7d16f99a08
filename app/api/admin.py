"""The admin endpoints: tenants, keys and tenants' settings, for keys of the operator tenant alone.

What they change is on record in the audit log of the tenant that it concerns.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Protocol, TypeVar
from uuid import UUID

import flask

from ..administration import NewKey
from ..auth import requires
from ..domain.access import ApiKey, Scope, Tenant
from ..domain.filters import open_cursor, seal_cursor
from .admin_schemas import (
    KeyChangesSchema,
    KeyListQuery,
    KeySchema,
    NewKeyAnswerSchema,
    NewKeySchema,
    NewTenantSchema,
    RotateSchema,
    RotationSchema,
    TenantChangesSchema,
    TenantListQuery,
    TenantSchema,
    TenantSettingsSchema,
)
from .declared import path_uuid_parameter
from .identifiers import path_uuid
from .paging import next_link
from .parsing import Blueprint
from .service import current_service

LOOKING = "shows no secret and no record; what was changed is on record"
OF_TENANT = [path_uuid_parameter("tenant_id")]
OF_KEY = [path_uuid_parameter("key_id")]

blueprint = Blueprint("admin", __name__, description="Tenants and keys, for the operator.")


class Made(Protocol):
    """What was made at some time, as its id says."""

    @property
    def id(self) -> UUID:
        """A UUIDv7, or the operator's."""
        ...


Thing = TypeVar("Thing", bound=Made)
Listed = tuple[Sequence[Thing], int, dict[str, str]]


@blueprint.route("/admin/tenants")
@requires(Scope.ADMIN, leaves_nothing=LOOKING)
@blueprint.arguments(TenantListQuery, location="query")
@blueprint.response(200, TenantSchema(many=True))
def list_tenants(query: dict[str, Any]) -> Listed[Tenant]:
    """List all tenants, oldest first. The Link header leads on."""
    after = place_in(query, "tenants")
    found = current_service().administration.tenants(after, query["limit"] + 1)
    return page_of(found, query["limit"], "tenants")


@blueprint.route("/admin/tenants", methods=["POST"])
@requires(Scope.ADMIN, leaves="create tenant")
@blueprint.no_query()
@blueprint.arguments(NewTenantSchema)
@blueprint.response(201, TenantSchema)
def create_tenant(values: dict[str, Any]) -> tuple[Tenant, int, dict[str, str]]:
    """Make a tenant."""
    made = current_service().administration.create_tenant(values["slug"], values.get("name"))
    location = flask.url_for("admin.get_tenant", tenant_id=str(made.id))
    return made, 201, {"Location": location}


@blueprint.route("/admin/tenants/<tenant_id>", parameters=OF_TENANT)
@requires(Scope.ADMIN, leaves_nothing=LOOKING)
@blueprint.no_query()
@blueprint.response(200, TenantSchema)
def get_tenant(tenant_id: str) -> Tenant:
    """Get a tenant."""
    return current_service().administration.tenant(_named("tenant_id", tenant_id))


@blueprint.route("/admin/tenants/<tenant_id>", methods=["PATCH"], parameters=OF_TENANT)
@requires(Scope.ADMIN, leaves="update, activate or deactivate tenant")
@blueprint.no_query()
@blueprint.arguments(TenantChangesSchema)
@blueprint.response(200, TenantSchema)
def change_tenant(values: dict[str, Any], tenant_id: str) -> Tenant:
    """Rename a tenant, or stop or start to serve its keys; its records stay."""
    tenant, _ = current_service().administration.change_tenant(
        _named("tenant_id", tenant_id),
        shown_name=values.get("name"),
        is_active=values.get("is_active"),
    )
    return tenant


@blueprint.route("/admin/settings/<tenant_id>", parameters=OF_TENANT)
@requires(Scope.ADMIN, leaves_nothing=LOOKING)
@blueprint.no_query()
@blueprint.response(200, TenantSettingsSchema)
def get_settings(tenant_id: str) -> dict[str, Any]:
    """Get what is set for a tenant."""
    return current_service().administration.settings(_named("tenant_id", tenant_id))


@blueprint.route("/admin/settings/<tenant_id>", methods=["PATCH"], parameters=OF_TENANT)
@requires(Scope.ADMIN, leaves="set tenant_settings")
@blueprint.no_query()
@blueprint.arguments(TenantSettingsSchema)
@blueprint.response(200, TenantSettingsSchema)
def change_settings(values: dict[str, Any], tenant_id: str) -> dict[str, Any]:
    """Set what is given for a tenant; null drops a setting."""
    named = _named("tenant_id", tenant_id)
    return current_service().administration.change_settings(named, values)


@blueprint.route("/admin/keys")
@requires(Scope.ADMIN, leaves_nothing=LOOKING)
@blueprint.arguments(KeyListQuery, location="query")
@blueprint.response(200, KeySchema(many=True))
def list_keys(query: dict[str, Any]) -> Listed[ApiKey]:
    """List the keys of a tenant, oldest first. The Link header leads on."""
    tenant_id = str(query["tenant_id"])
    scope = f"keys {tenant_id}"
    found = current_service().administration.keys.page(
        tenant_id, place_in(query, scope), query["limit"] + 1
    )
    return page_of(found, query["limit"], scope)


@blueprint.route("/admin/keys", methods=["POST"])
@requires(Scope.ADMIN, leaves="create api_key")
@blueprint.no_query()
@blueprint.arguments(NewKeySchema)
@blueprint.response(201, NewKeyAnswerSchema)
def create_key(values: dict[str, Any]) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Make a key; its secret is in this answer and nowhere else."""
    tenant_id, name = str(values.pop("tenant_id")), values.pop("name")
    made = current_service().administration.keys.create(tenant_id, name, **values)
    location = flask.url_for("admin.get_key", key_id=str(made.key.id))
    return _with_secret(made), 201, {"Location": location}


@blueprint.route("/admin/keys/<key_id>", parameters=OF_KEY)
@requires(Scope.ADMIN, leaves_nothing=LOOKING)
@blueprint.no_query()
@blueprint.response(200, KeySchema)
def get_key(key_id: str) -> ApiKey:
    """Get a key, without its secret."""
    return current_service().administration.keys.find(_named("key_id", key_id))


@blueprint.route("/admin/keys/<key_id>", methods=["PATCH"], parameters=OF_KEY)
@requires(Scope.ADMIN, leaves="update or restrict api_key")
@blueprint.no_query()
@blueprint.arguments(KeyChangesSchema)
@blueprint.response(200, KeySchema)
def change_key(values: dict[str, Any], key_id: str) -> ApiKey:
    """Change a key's name, scopes, networks, holder or end; every process knows within seconds."""
    return current_service().administration.keys.change(_named("key_id", key_id), values)


@blueprint.route("/admin/keys/<key_id>/rotate", methods=["POST"], parameters=OF_KEY)
@requires(Scope.ADMIN, leaves="rotate api_key")
@blueprint.no_query()
@blueprint.arguments(RotateSchema)
@blueprint.response(201, RotationSchema)
def rotate_key(values: dict[str, Any], key_id: str) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Replace a key by a new one that may do the same; the old one works until the overlap ends."""
    overlap = timedelta(seconds=values["overlap_s"])
    rotation = current_service().administration.keys.rotate(_named("key_id", key_id), overlap)
    location = flask.url_for("admin.get_key", key_id=str(rotation.new.key.id))
    shown = {**_with_secret(rotation.new), "old_key_ends_at": rotation.ends_at}
    return shown, 201, {"Location": location}


@blueprint.route("/admin/keys/<key_id>/revoke", methods=["POST"], parameters=OF_KEY)
@requires(Scope.ADMIN, leaves="revoke api_key")
@blueprint.no_query()
@blueprint.response(200, KeySchema)
def revoke_key(key_id: str) -> ApiKey:
    """End a key; every process knows within seconds."""
    return current_service().administration.keys.revoke(_named("key_id", key_id))


def _named(name: str, value: str) -> str:
    return str(path_uuid(name, value))


def _with_secret(made: NewKey) -> dict[str, Any]:
    fields = {name: getattr(made.key, name) for name in KeySchema().fields}
    return {**fields, "secret": made.secret}


def place_in(query: dict[str, Any], scope: str) -> UUID | None:
    """The id that a page goes on after, by its cursor.

    Args:
        scope: the list that the cursor must be of.
    """
    cursor = query.get("after")
    return None if cursor is None else open_cursor(cursor, None, scope, _read_place)


def _read_place(place: bytes) -> UUID | None:
    return UUID(bytes=place) if len(place) == 16 else None


def page_of(found: Sequence[Thing], limit: int, scope: str) -> Listed[Thing]:
    """A page of what was found, one more than the limit if there is more, with the way on."""
    if len(found) <= limit:
        return found, 200, {}
    cursor = seal_cursor(found[limit - 1].id.bytes, None, scope)
    return found[:limit], 200, {"Link": next_link(cursor)}
