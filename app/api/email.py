"""The adapter's email routes."""

from typing import Any

import flask
import marshmallow as ma

from ..domain.resources import Message
from ..providers.protocols import EMAIL
from .adapter import (
    KeptSchema,
    ListQuery,
    Page,
    SearchQuery,
    addresses,
    operates,
    operating,
    page_of,
)
from .fields import text
from .identifiers import path_text
from .parsing import Blueprint

RECIPIENTS_MAX = 100
TEXT_CHARS_MAX = 200_000
LINE = ma.validate.Regexp(r"[^\r\n]*\Z", error="Must be one line.")

blueprint = Blueprint("email", __name__, description="Messages in the tenant's mailbox.")


class NewMessage(ma.Schema):
    """A message to be sent, as text and, if it is given, as HTML beside it."""

    to = addresses(RECIPIENTS_MAX, 1, required=True)
    cc = addresses(RECIPIENTS_MAX)
    subject = ma.fields.String(
        required=True,
        validate=[ma.validate.Length(0, 900, error="Must have 0 to 900 characters."), LINE],
    )
    html = text(1, TEXT_CHARS_MAX)
    text = text(0, TEXT_CHARS_MAX, required=True)


class MessageSchema(KeptSchema):
    """A message, whichever provider keeps it."""

    class Meta:
        """The order in which fields are shown."""

        fields = (
            *("id", "provider", "url", "thread_id", "sender", "to", "cc", "subject", "text"),
            *("html", "created_at"),
        )

    url = ma.fields.String(required=True, allow_none=True)
    thread_id = ma.fields.String(required=True)
    sender = ma.fields.String(required=True)
    to = ma.fields.List(ma.fields.String(), required=True)
    cc = ma.fields.List(ma.fields.String(), required=True)
    subject = ma.fields.String(required=True)
    text = ma.fields.String(required=True, allow_none=True)
    html = ma.fields.String(required=True, allow_none=True)


@blueprint.route("/email/messages", methods=["POST"])
@operates("email_send")
@blueprint.no_query()
@blueprint.arguments(NewMessage)
@blueprint.response(201, MessageSchema)
def send_message(values: dict[str, Any]) -> tuple[Message, int, dict[str, str]]:
    """Send a message."""
    with operating(EMAIL) as email:
        message = email.send(values)
    location = flask.url_for("email.get_message", message_id=message.id)
    return message, 201, {"Location": location}


@blueprint.route("/email/messages")
@operates("email_list")
@blueprint.arguments(ListQuery, location="query")
@blueprint.response(200, MessageSchema(many=True))
def list_messages(query: dict[str, Any]) -> Page:
    """List messages, in the provider's order. The Link header leads on."""
    with operating(EMAIL) as email:
        return page_of(email.list(**query))


@blueprint.route("/email/messages/search")
@operates("email_search")
@blueprint.arguments(SearchQuery, location="query")
@blueprint.response(200, MessageSchema(many=True))
def search_messages(query: dict[str, Any]) -> Page:
    """Search messages by a text. The Link header leads on."""
    with operating(EMAIL) as email:
        return page_of(email.search(query["q"], limit=query["limit"], after=query["after"]))


@blueprint.route("/email/messages/<message_id>")
@operates("email_get")
@blueprint.no_query()
@blueprint.response(200, MessageSchema)
def get_message(message_id: str) -> Message:
    """Get a message by the provider's id."""
    wanted = path_text("message_id", message_id)
    with operating(EMAIL) as email:
        return email.get(wanted)
