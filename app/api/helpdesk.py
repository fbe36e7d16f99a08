"""The adapter's helpdesk routes."""

from typing import Any

import flask
import marshmallow as ma

from ..domain.resources import TICKET_PRIORITIES, TICKET_STATUSES, Comment, Ticket
from ..providers.protocols import HELPDESK
from .adapter import (
    ChangesSchema,
    KeptSchema,
    ListQuery,
    Page,
    operates,
    operating,
    page_of,
    texts,
)
from .fields import Timestamp, text
from .identifiers import path_text
from .parsing import Blueprint

TEXT_CHARS_MAX = 60_000  # Zendesk takes 65,535

blueprint = Blueprint("helpdesk", __name__, description="Tickets at the tenant's helpdesk.")


class TicketChanges(ChangesSchema):
    """The fields of a ticket that can be changed."""

    subject = text(1, 150)
    status = ma.fields.String(validate=ma.validate.OneOf(TICKET_STATUSES))
    priority = ma.fields.String(validate=ma.validate.OneOf(TICKET_PRIORITIES), allow_none=True)
    tags = texts(100, 50)


class NewTicket(TicketChanges):
    """A ticket to be opened; it is for the owner of the credentials if it names no requester."""

    subject = text(1, 150, required=True)
    description = text(1, TEXT_CHARS_MAX, required=True)
    requester_email = ma.fields.Email(validate=ma.validate.Length(max=320))


class TicketSchema(KeptSchema):
    """A ticket, whichever provider keeps it."""

    class Meta:
        """The order in which fields are shown."""

        fields = (
            *("id", "provider", "url", "subject", "description", "status", "priority"),
            *("requester_email", "tags", "created_at", "updated_at"),
        )

    url = ma.fields.String(required=True, allow_none=True)
    subject = ma.fields.String(required=True)
    description = ma.fields.String(required=True)
    status = ma.fields.String(required=True, validate=ma.validate.OneOf(TICKET_STATUSES))
    priority = ma.fields.String(
        required=True, allow_none=True, validate=ma.validate.OneOf([*TICKET_PRIORITIES, None])
    )
    requester_email = ma.fields.String(required=True, allow_none=True)
    tags = ma.fields.List(ma.fields.String(), required=True)
    updated_at = Timestamp(required=True)


class NewComment(ma.Schema):
    """A comment to be made; one that is not public is seen by agents alone."""

    body = text(1, TEXT_CHARS_MAX, required=True)
    public = ma.fields.Boolean(truthy={True}, falsy={False})


class CommentSchema(KeptSchema):
    """A comment, whichever provider keeps it."""

    class Meta:
        """The order in which fields are shown."""

        fields = ("id", "provider", "ticket_id", "body", "public", "author", "created_at")

    ticket_id = ma.fields.String(required=True)
    body = ma.fields.String(required=True)
    public = ma.fields.Boolean(required=True)
    author = ma.fields.String(required=True, allow_none=True)


@blueprint.route("/helpdesk/tickets", methods=["POST"])
@operates("helpdesk_create_ticket")
@blueprint.no_query()
@blueprint.arguments(NewTicket)
@blueprint.response(201, TicketSchema)
def create_ticket(values: dict[str, Any]) -> tuple[Ticket, int, dict[str, str]]:
    """Open a ticket."""
    with operating(HELPDESK) as helpdesk:
        ticket = helpdesk.create(values)
    location = flask.url_for("helpdesk.get_ticket", ticket_id=ticket.id)
    return ticket, 201, {"Location": location}


@blueprint.route("/helpdesk/tickets")
@operates("helpdesk_list_tickets")
@blueprint.arguments(ListQuery, location="query")
@blueprint.response(200, TicketSchema(many=True))
def list_tickets(query: dict[str, Any]) -> Page:
    """List tickets, in the provider's order. The Link header leads on."""
    with operating(HELPDESK) as helpdesk:
        return page_of(helpdesk.list(**query))


@blueprint.route("/helpdesk/tickets/<ticket_id>")
@operates("helpdesk_get_ticket")
@blueprint.no_query()
@blueprint.response(200, TicketSchema)
def get_ticket(ticket_id: str) -> Ticket:
    """Get a ticket by the provider's id."""
    wanted = path_text("ticket_id", ticket_id)
    with operating(HELPDESK) as helpdesk:
        return helpdesk.get(wanted)


@blueprint.route("/helpdesk/tickets/<ticket_id>", methods=["PATCH"])
@operates("helpdesk_update_ticket")
@blueprint.no_query()
@blueprint.arguments(TicketChanges)
@blueprint.response(200, TicketSchema)
def update_ticket(values: dict[str, Any], ticket_id: str) -> Ticket:
    """Change the given fields of a ticket."""
    wanted = path_text("ticket_id", ticket_id)
    with operating(HELPDESK) as helpdesk:
        return helpdesk.update(wanted, values)


@blueprint.route("/helpdesk/tickets/<ticket_id>/comments", methods=["POST"])
@operates("helpdesk_add_comment")
@blueprint.no_query()
@blueprint.arguments(NewComment)
@blueprint.response(201, CommentSchema)
def add_comment(values: dict[str, Any], ticket_id: str) -> Comment:
    """Say something on a ticket."""
    wanted = path_text("ticket_id", ticket_id)
    with operating(HELPDESK) as helpdesk:
        return helpdesk.comment(wanted, values)
