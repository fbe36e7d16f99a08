"""The adapter's CRM routes: each call to a provider makes exactly one action log."""

from collections.abc import Sequence
from typing import Any

import flask
import marshmallow as ma

from ..auth import requires
from ..capture import ActionLogger
from ..domain.access import Scope
from ..domain.contacts import Contact
from ..domain.records import IDENTIFIER_CHARS_MAX
from .fields import Timestamp, text, whole_number
from .identifiers import path_text
from .paging import next_link
from .parsing import Blueprint
from .service import current_service, current_tenant

CONTACTS_MAX = 100  # of one page; providers rarely give more

blueprint = Blueprint("crm", __name__, description="Contacts at the tenant's CRM.")

ContactPage = tuple[Sequence[Contact], int, dict[str, str]]


class ContactChanges(ma.Schema):
    """The fields of a contact that can be set; null empties one."""

    email = ma.fields.Email(validate=ma.validate.Length(max=320))
    first_name = text(0, 200, allow_none=True)
    last_name = text(0, 200, allow_none=True)
    company = text(0, 200, allow_none=True)
    phone = text(0, 50, allow_none=True)
    properties = ma.fields.Dict(
        keys=ma.fields.String(), metadata={"description": "What has no field of its own."}
    )

    @ma.validates_schema
    def check_not_empty(self, data: dict[str, Any], **_: Any) -> None:
        """Refuse a change of nothing."""
        if not data:
            known = ", ".join(sorted(self.fields))
            raise ma.ValidationError(f"Must set at least one of: {known}.")


class NewContact(ContactChanges):
    """A contact to be made."""

    email = ma.fields.Email(required=True, validate=ma.validate.Length(max=320))


class ContactSchema(ma.Schema):
    """A contact, whichever provider keeps it."""

    id = ma.fields.String(required=True)
    provider = ma.fields.String(required=True)
    email = ma.fields.String(required=True)
    first_name = ma.fields.String(required=True, allow_none=True)
    last_name = ma.fields.String(required=True, allow_none=True)
    company = ma.fields.String(required=True, allow_none=True)
    phone = ma.fields.String(required=True, allow_none=True)
    properties = ma.fields.Dict(required=True)
    created_at = Timestamp(required=True)
    updated_at = Timestamp(required=True)


class ContactListQuery(ma.Schema):
    """A page of contacts."""

    limit = whole_number(1, CONTACTS_MAX, load_default=50)
    after = text(1, IDENTIFIER_CHARS_MAX, metadata={"description": "From the Link header."})


class ContactSearchQuery(ContactListQuery):
    """A page of the contacts that hold a text."""

    q = text(1, 200, required=True, metadata={"description": "In any text field, in any case."})


def call(action_type: str, request_payload: dict[str, Any]) -> ActionLogger:
    """The record of one call to the CRM provider."""
    provider = current_service().crm.name
    return ActionLogger(current_tenant(), action_type, provider, request_payload=request_payload)


@blueprint.route("/crm/contacts", methods=["POST"])
@requires(Scope.ADAPTER_USE, leaves="one action log")
@blueprint.no_query()
@blueprint.arguments(NewContact)
@blueprint.response(201, ContactSchema)
def create_contact(values: dict[str, Any]) -> tuple[Contact, int, dict[str, str]]:
    """Make a contact."""
    with call("crm_create", values) as action:
        contact = current_service().crm.create(current_tenant(), values)
        action.response_data = contact.as_json()
    location = flask.url_for("crm.get_contact", contact_id=contact.id)
    return contact, 201, {"Location": location}


@blueprint.route("/crm/contacts")
@requires(Scope.ADAPTER_USE, leaves="one action log")
@blueprint.arguments(ContactListQuery, location="query")
@blueprint.response(200, ContactSchema(many=True))
def list_contacts(query: dict[str, Any]) -> ContactPage:
    """List contacts, newest first. The Link header leads on."""
    with call("crm_list", query) as action:
        found = current_service().crm.list(
            current_tenant(), limit=query["limit"] + 1, after=query.get("after")
        )
        shown, headers = _page(found, query["limit"])
        action.response_data = [contact.as_json() for contact in shown]
    return shown, 200, headers


@blueprint.route("/crm/contacts/search")
@requires(Scope.ADAPTER_USE, leaves="one action log")
@blueprint.arguments(ContactSearchQuery, location="query")
@blueprint.response(200, ContactSchema(many=True))
def search_contacts(query: dict[str, Any]) -> ContactPage:
    """Search contacts by a text, newest first. The Link header leads on."""
    with call("crm_search", query) as action:
        found = current_service().crm.search(
            current_tenant(), query["q"], limit=query["limit"] + 1, after=query.get("after")
        )
        shown, headers = _page(found, query["limit"])
        action.response_data = [contact.as_json() for contact in shown]
    return shown, 200, headers


@blueprint.route("/crm/contacts/<contact_id>")
@requires(Scope.ADAPTER_USE, leaves="one action log")
@blueprint.no_query()
@blueprint.response(200, ContactSchema)
def get_contact(contact_id: str) -> Contact:
    """Get a contact by the provider's id."""
    wanted = path_text("contact_id", contact_id)
    with call("crm_get", {"id": wanted}) as action:
        contact = current_service().crm.get(current_tenant(), wanted)
        action.response_data = contact.as_json()
    return contact


@blueprint.route("/crm/contacts/<contact_id>", methods=["PATCH"])
@requires(Scope.ADAPTER_USE, leaves="one action log")
@blueprint.no_query()
@blueprint.arguments(ContactChanges)
@blueprint.response(200, ContactSchema)
def update_contact(values: dict[str, Any], contact_id: str) -> Contact:
    """Change the given fields of a contact."""
    wanted = path_text("contact_id", contact_id)
    with call("crm_update", {"id": wanted, **values}) as action:
        contact = current_service().crm.update(current_tenant(), wanted, values)
        action.response_data = contact.as_json()
    return contact


@blueprint.route("/crm/contacts/<contact_id>", methods=["DELETE"])
@requires(Scope.ADAPTER_USE, leaves="one action log")
@blueprint.no_query()
@blueprint.response(204)
def delete_contact(contact_id: str) -> None:
    """Delete a contact."""
    wanted = path_text("contact_id", contact_id)
    with call("crm_delete", {"id": wanted}):
        current_service().crm.delete(current_tenant(), wanted)


def _page(found: Sequence[Contact], limit: int) -> tuple[Sequence[Contact], dict[str, str]]:
    if len(found) <= limit:
        return found, {}
    return found[:limit], {"Link": next_link(found[limit - 1].id)}
