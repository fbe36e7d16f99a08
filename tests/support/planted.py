"""Secrets to plant, and the service with a provider that hands them out: gunicorn serves this
module's `application` in the place of the product's own.
"""

import json
from typing import Any

from app.errors import ProviderTimeout
from app.factory import create_app
from app.providers.messages import Request, Response
from app.providers.sandbox.server import SandboxServer

# Each of its own form, so that a failure tells which one came through.
BEARER = "pl4nted.Bearer-Aa1"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJwbGFudGVkIjoxfQ.c2lnbmVk"
CARD = "4111 1111 1111 1111"
AWS = "AKIAPLANTEDPLANTED22"
STRIPE = "sk_live_pl4ntedpl4ntedpl4nted"
GITHUB = "ghp_pl4ntedpl4ntedpl4ntedpl4ntedpl4nt"
PASSWORD = "pl4nted-hunter2"
KEY = "ops_live_" + "0123456789abcdef" * 4
PEM = "-----BEGIN PRIVATE KEY-----\nMIIpl4nted\n-----END PRIVATE KEY-----"
PLANTED = (BEARER, JWT, CARD, AWS, STRIPE, GITHUB, PASSWORD, KEY, "MIIpl4nted")
TEXT = (
    f"Bearer {BEARER} {JWT} {CARD} {AWS} {STRIPE} {GITHUB} {KEY} postgresql://u:{PASSWORD}@h/d"
    f" ?token={PASSWORD} {{'password': '{PASSWORD}'}}\n{PEM}"
)
PAYLOAD = {"password": PASSWORD, "deep": [{"note": TEXT}], TEXT: TEXT}
HEADERS = {
    "Authorization": f"Bearer {BEARER}",
    "Cookie": f"session={JWT}",
    "User-Agent": f"agent {STRIPE}",
    "X-Request-ID": GITHUB,
}


def found_in(text: str) -> list[str]:
    """The planted secrets that a text has in it."""
    return [secret for secret in PLANTED if secret in text]


def leaky_send(_: SandboxServer, request: Request, *, timeout_s: float) -> Response:
    """What a provider full of secrets answers, in the place of the sandbox's server.

    Raises:
        ProviderTimeout: for a change; its text quotes.
        RuntimeError: for a removal, with a cause; a mistake of the provider's client.
    """
    if request.method == "PATCH":
        raise ProviderTimeout(f"No answer within {timeout_s} s to {TEXT}")
    if request.method == "DELETE":
        try:
            raise ValueError(TEXT)
        except ValueError as error:
            raise RuntimeError(f"the provider failed: {TEXT}") from error
    if request.method == "POST":
        now = "2026-11-23T10:00:00.000Z"
        item = {
            "id": "7",
            "provider": "sandbox",
            "url": None,
            "email": "jane@example.com",
            "first_name": TEXT,
            "last_name": None,
        }
        item |= {"company": None, "phone": None, "properties": PAYLOAD}
        return _response(201, {**item, "created_at": now, "updated_at": now})
    if request.query:
        return Response(status=400, headers={"content-type": "text/plain"}, body=TEXT.encode())
    return _response(404, {"code": "not_found", "message": f"No such contact; you sent {TEXT}"})


def _response(status: int, shown: Any) -> Response:
    headers = {"content-type": "application/json", "x-request-id": GITHUB}
    return Response(status=status, headers=headers, body=json.dumps(shown).encode())


def __getattr__(name: str) -> Any:
    """Make the application when a server asks for it, and not for who wants the secrets alone."""
    if name != "application":
        raise AttributeError(name)
    SandboxServer.send = leaky_send  # type: ignore[method-assign]
    return create_app()
