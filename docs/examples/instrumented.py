"""Somebody's Flask app whose HTTP session is watched: the code that uses it knows nothing of us."""

import os
from uuid import UUID

import flask
import requests
from opsledger import Opsledger, instrument

HUBSPOT = os.environ.get("HUBSPOT_URL", "https://api.hubapi.com")
CONTACTS = "/crm/v3/objects/contacts"
ACTIONS = {"GET": "crm_get", "POST": "crm_create", "PATCH": "crm_update", "DELETE": "crm_delete"}


def action_type(method: str, url: str) -> str | None:
    """What a call is; what is none of ours to log is None."""
    if CONTACTS not in url:
        return None
    return "crm_search" if url.endswith("/search") else ACTIONS.get(method)


class Contacts:
    """Code as it was before: plain requests."""

    def __init__(self, session: requests.Session) -> None:
        self._session = session

    def create(self, email: str) -> dict[str, object]:
        """A contact at HubSpot."""
        body = {"properties": {"email": email}}
        answer = self._session.post(HUBSPOT + CONTACTS, json=body, timeout=1)
        answer.raise_for_status()
        made: dict[str, object] = answer.json()
        return made


def create_app(tenant_id: str) -> flask.Flask:
    """The app; instrumenting the session is the only line that is new."""
    app = flask.Flask(__name__)
    Opsledger(app, tenant_id=lambda: UUID(tenant_id))
    session = requests.Session()
    session.headers["Authorization"] = "Bearer never on record"
    contacts = Contacts(instrument(session, provider="hubspot", action_type=action_type))

    @app.post("/contacts/<email>")
    def add_contact(email: str) -> tuple[dict[str, object], int]:
        try:
            return contacts.create(email), 201
        except requests.Timeout:
            return {"error": "HubSpot does not answer"}, 504
        except requests.RequestException:
            return {"error": "HubSpot refused"}, 502

    return app
