"""The adapter's CRM routes."""

from typing import Any

import flask
import marshmallow as ma

from ..domain.resources import Contact
from ..providers.protocols import CRM
from .adapter import (
    PROPERTIES,
    ChangesSchema,
    KeptSchema,
    ListQuery,
    Page,
    SearchQuery,
    operates,
    operating,
    page_of,
)
from .fields import Timestamp, text
from .identifiers import path_text
from .parsing import Blueprint

blueprint = Blueprint("crm", __name__, description="Contacts at the tenant's CRM.")


class ContactChanges(ChangesSchema):
    """The fields of a contact that can be set; null empties one."""

    email = ma.fields.Email(validate=ma.validate.Length(max=320))
    first_name = text(0, 200, allow_none=True)
    last_name = text(0, 200, allow_none=True)
    company = text(0, 200, allow_none=True)
    phone = text(0, 50, allow_none=True)
    properties = ma.fields.Dict(keys=ma.fields.String(), metadata=PROPERTIES)


class NewContact(ContactChanges):
    """A contact to be made."""

    email = ma.fields.Email(required=True, validate=ma.validate.Length(max=320))


class ContactSchema(KeptSchema):
    """A contact, whichever provider keeps it."""

    class Meta:
        """The order in which fields are shown."""

        fields = (
            *("id", "provider", "url", "email", "first_name", "last_name", "company", "phone"),
            *("properties", "created_at", "updated_at"),
        )

    url = ma.fields.String(required=True, allow_none=True)
    email = ma.fields.String(required=True, allow_none=True)
    first_name = ma.fields.String(required=True, allow_none=True)
    last_name = ma.fields.String(required=True, allow_none=True)
    company = ma.fields.String(required=True, allow_none=True)
    phone = ma.fields.String(required=True, allow_none=True)
    properties = ma.fields.Dict(required=True)
    updated_at = Timestamp(required=True)


@blueprint.route("/crm/contacts", methods=["POST"])
@operates("crm_create")
@blueprint.no_query()
@blueprint.arguments(NewContact)
@blueprint.response(201, ContactSchema)
def create_contact(values: dict[str, Any]) -> tuple[Contact, int, dict[str, str]]:
    """Make a contact."""
    with operating(CRM) as crm:
        contact = crm.create(values)
    location = flask.url_for("crm.get_contact", contact_id=contact.id)
    return contact, 201, {"Location": location}


@blueprint.route("/crm/contacts")
@operates("crm_list")
@blueprint.arguments(ListQuery, location="query")
@blueprint.response(200, ContactSchema(many=True))
def list_contacts(query: dict[str, Any]) -> Page:
    """List contacts, in the provider's order. The Link header leads on."""
    with operating(CRM) as crm:
        return page_of(crm.list(**query))


@blueprint.route("/crm/contacts/search")
@operates("crm_search")
@blueprint.arguments(SearchQuery, location="query")
@blueprint.response(200, ContactSchema(many=True))
def search_contacts(query: dict[str, Any]) -> Page:
    """Search contacts by a text. The Link header leads on."""
    with operating(CRM) as crm:
        return page_of(crm.search(query["q"], limit=query["limit"], after=query["after"]))


@blueprint.route("/crm/contacts/<item:contact_id>")
@operates("crm_get")
@blueprint.no_query()
@blueprint.response(200, ContactSchema)
def get_contact(contact_id: str) -> Contact:
    """Get a contact by the provider's id."""
    wanted = path_text("contact_id", contact_id)
    with operating(CRM) as crm:
        return crm.get(wanted)


@blueprint.route("/crm/contacts/<item:contact_id>", methods=["PATCH"])
@operates("crm_update")
@blueprint.no_query()
@blueprint.arguments(ContactChanges)
@blueprint.response(200, ContactSchema)
def update_contact(values: dict[str, Any], contact_id: str) -> Contact:
    """Change the given fields of a contact."""
    wanted = path_text("contact_id", contact_id)
    with operating(CRM) as crm:
        return crm.update(wanted, values)


@blueprint.route("/crm/contacts/<item:contact_id>", methods=["DELETE"])
@operates("crm_delete")
@blueprint.no_query()
@blueprint.response(204)
def delete_contact(contact_id: str) -> None:
    """Delete a contact."""
    wanted = path_text("contact_id", contact_id)
    with operating(CRM) as crm:
        crm.delete(wanted)
