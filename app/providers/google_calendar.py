"""Google Calendar: events of one calendar (`calendar_id`, the primary one if not given)."""

from datetime import UTC, datetime
from typing import Any

from ..domain.accounts import Account
from ..domain.identity import format_time
from ..domain.resources import Event, Found
from ..errors import ProviderCode, ProviderError
from .google import GoogleApi
from .operation import Operation
from .protocols import Values
from .reading import moment, reading

NAME = "google_calendar"
URL = "https://www.googleapis.com/calendar/v3"
SCOPES = ["https://www.googleapis.com/auth/calendar.events"]
DUPLICATE = "duplicate"  # Google's word for an event id that is taken
NAMES = {"title": "summary", "description": "description", "location": "location"}


class GoogleCalendar:
    """A CalendarProvider; events come by their start, each occurrence of a series for itself.

    Nobody is sent an invitation: that is the application's business.
    """

    def __init__(self, operation: Operation, account: Account) -> None:
        self._operation = operation
        self._api = GoogleApi(operation, account, "calendar", "v3", SCOPES)
        self._events = self._api.service.events()
        self._calendar_id = account.options.get("calendar_id", "primary")

    def create(self, values: Values) -> Event:
        """Add an event under an id of ours, so that a second attempt adds no other."""
        event_id = self._operation.id.replace("-", "")
        made = self._events.insert(
            calendarId=self._calendar_id, body={"id": event_id, **_body(values)}, sendUpdates="none"
        )
        try:
            return self._event(self._api.ask(made, repeatable=True))
        except ProviderError as error:
            if error.provider_code != DUPLICATE:
                raise
            return self.get(event_id)  # an attempt whose answer was lost has made it

    def get(self, event_id: str, /) -> Event:
        """One event; Google still shows deleted ones, as cancelled."""
        asked = self._events.get(calendarId=self._calendar_id, eventId=event_id)
        found = self._event(self._ask(asked, event_id))
        if found.status == "cancelled":
            raise ProviderError(f"The event {event_id} was deleted", code=ProviderCode.NOT_FOUND)
        return found

    def update(self, event_id: str, values: Values, /) -> Event:
        """Change the given fields."""
        asked = self._events.patch(
            calendarId=self._calendar_id, eventId=event_id, body=_body(values), sendUpdates="none"
        )
        return self._event(self._ask(asked, event_id))

    def delete(self, event_id: str, /) -> None:
        """Remove an event."""
        asked = self._events.delete(
            calendarId=self._calendar_id, eventId=event_id, sendUpdates="none"
        )
        self._ask(asked, event_id, empty=True)

    def list(
        self, *, limit: int, after: str | None, since: datetime | None, until: datetime | None
    ) -> Found[Event]:
        """The events of a window."""
        window = {"timeMin": since, "timeMax": until}
        given = {name: format_time(at) for name, at in window.items() if at is not None}
        asked = self._events.list(
            calendarId=self._calendar_id,
            maxResults=limit,
            singleEvents=True,
            orderBy="startTime",
            **({"pageToken": after} if after else {}),
            **given,
        )
        said = self._api.ask(asked, repeatable=True)
        with reading():
            return Found([self._event(item) for item in said["items"]], said.get("nextPageToken"))

    def _ask(self, asked: Any, event_id: str, *, empty: bool = False) -> Any:
        return self._api.ask(asked, repeatable=True, named={"id": event_id}, empty=empty)

    def _event(self, kept: Any) -> Event:
        with reading():
            if kept["status"] == "cancelled" and "start" not in kept:
                detail = f"The event {kept['id']} was deleted"
                raise ProviderError(detail, code=ProviderCode.NOT_FOUND)
            return Event(
                id=kept["id"],
                provider=NAME,
                url=kept.get("htmlLink"),
                title=kept.get("summary", ""),
                description=kept.get("description"),
                location=kept.get("location"),
                start=_at(kept["start"]),
                end=_at(kept["end"]),
                all_day="date" in kept["start"],
                attendees=[one["email"] for one in kept.get("attendees", []) if "email" in one],
                status=kept["status"],
                created_at=moment(kept["created"]),
                updated_at=moment(kept["updated"]),
            )


def _body(values: Values) -> dict[str, Any]:
    """Unified fields in Google's form."""
    body = {theirs: values[name] for name, theirs in NAMES.items() if name in values}
    if "attendees" in values:
        body["attendees"] = [{"email": email} for email in values["attendees"]]
    for name in ("start", "end"):
        if name not in values:
            continue
        at = values[name].astimezone(UTC)
        # The other form is emptied: a patch would keep it beside the new one.
        if values.get("all_day"):
            body[name] = {"date": at.date().isoformat(), "dateTime": None}
        else:
            body[name] = {"dateTime": format_time(at), "date": None}
    return body


def _at(place: Any) -> datetime:
    if "date" in place:
        return datetime.fromisoformat(place["date"]).replace(tzinfo=UTC)
    return moment(place["dateTime"])
