"""The adapter's calendar routes."""

from datetime import UTC
from typing import Any

import flask
import marshmallow as ma

from ..domain.resources import EVENT_STATUSES, Event
from ..providers.protocols import CALENDAR
from .adapter import (
    ChangesSchema,
    KeptSchema,
    ListQuery,
    Page,
    addresses,
    operates,
    operating,
    page_of,
)
from .fields import Timestamp, text
from .identifiers import path_text
from .parsing import Blueprint

ATTENDEES_MAX = 200  # Google takes as many

blueprint = Blueprint("calendar", __name__, description="Events in the tenant's calendar.")


class EventChanges(ChangesSchema):
    """The fields of an event that can be set; null empties one."""

    title = text(1, 1_000)
    description = text(0, 8_000, allow_none=True)
    location = text(0, 1_000, allow_none=True)
    start = Timestamp()
    end = Timestamp()
    all_day = ma.fields.Boolean(
        truthy={True},
        falsy={False},
        metadata={"description": "From midnight to midnight, UTC; needs start and end."},
    )
    attendees = addresses(ATTENDEES_MAX)

    @ma.validates_schema
    def check_times(self, data: dict[str, Any], **_: Any) -> None:
        """Refuse an event that ends before it starts, or a day that is none."""
        given = [data[name] for name in ("start", "end") if name in data]
        if "all_day" in data and len(given) < 2:
            raise ma.ValidationError("Must be given with start and end.", "all_day")
        if len(given) == 2 and given[1] <= given[0]:
            raise ma.ValidationError("Must be after start.", "end")
        if data.get("all_day"):
            for name in ("start", "end"):
                at = data[name].astimezone(UTC)
                if (at.hour, at.minute, at.second, at.microsecond) != (0, 0, 0, 0):
                    raise ma.ValidationError("Must be midnight, UTC, for a whole day.", name)


class NewEvent(EventChanges):
    """An event to be made."""

    title = text(1, 1_000, required=True)
    start = Timestamp(required=True)
    end = Timestamp(required=True)


class EventListQuery(ListQuery):
    """A page of the events of a window."""

    since = Timestamp(load_default=None, metadata={"description": "Ends after this time."})
    until = Timestamp(load_default=None, metadata={"description": "Starts before this time."})

    @ma.validates_schema
    def check_order(self, data: dict[str, Any], **_: Any) -> None:
        """Refuse a window that ends before it starts."""
        if data["since"] and data["until"] and data["since"] > data["until"]:
            raise ma.ValidationError("Must not be after until.", "since")


class EventSchema(KeptSchema):
    """An event, whichever provider keeps it."""

    class Meta:
        """The order in which fields are shown."""

        fields = (
            *("id", "provider", "url", "title", "description", "location", "start", "end"),
            *("all_day", "attendees", "status", "created_at", "updated_at"),
        )

    url = ma.fields.String(required=True, allow_none=True)
    title = ma.fields.String(required=True)
    description = ma.fields.String(required=True, allow_none=True)
    location = ma.fields.String(required=True, allow_none=True)
    start = Timestamp(required=True)
    end = Timestamp(required=True)
    all_day = ma.fields.Boolean(required=True)
    attendees = ma.fields.List(ma.fields.String(), required=True)
    status = ma.fields.String(required=True, validate=ma.validate.OneOf(EVENT_STATUSES))
    updated_at = Timestamp(required=True)


@blueprint.route("/calendar/events", methods=["POST"])
@operates("calendar_create_event")
@blueprint.no_query()
@blueprint.arguments(NewEvent)
@blueprint.response(201, EventSchema)
def create_event(values: dict[str, Any]) -> tuple[Event, int, dict[str, str]]:
    """Make an event."""
    with operating(CALENDAR) as calendar:
        event = calendar.create(values)
    location = flask.url_for("calendar.get_event", event_id=event.id)
    return event, 201, {"Location": location}


@blueprint.route("/calendar/events")
@operates("calendar_list_events")
@blueprint.arguments(EventListQuery, location="query")
@blueprint.response(200, EventSchema(many=True))
def list_events(query: dict[str, Any]) -> Page:
    """List events, in the provider's order. The Link header leads on."""
    with operating(CALENDAR) as calendar:
        return page_of(calendar.list(**query))


@blueprint.route("/calendar/events/<event_id>")
@operates("calendar_get_event")
@blueprint.no_query()
@blueprint.response(200, EventSchema)
def get_event(event_id: str) -> Event:
    """Get an event by the provider's id."""
    wanted = path_text("event_id", event_id)
    with operating(CALENDAR) as calendar:
        return calendar.get(wanted)


@blueprint.route("/calendar/events/<event_id>", methods=["PATCH"])
@operates("calendar_update_event")
@blueprint.no_query()
@blueprint.arguments(EventChanges)
@blueprint.response(200, EventSchema)
def update_event(values: dict[str, Any], event_id: str) -> Event:
    """Change the given fields of an event."""
    wanted = path_text("event_id", event_id)
    with operating(CALENDAR) as calendar:
        return calendar.update(wanted, values)


@blueprint.route("/calendar/events/<event_id>", methods=["DELETE"])
@operates("calendar_delete_event")
@blueprint.no_query()
@blueprint.response(204)
def delete_event(event_id: str) -> None:
    """Delete an event."""
    wanted = path_text("event_id", event_id)
    with operating(CALENDAR) as calendar:
        calendar.delete(wanted)
