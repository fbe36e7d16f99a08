"""Secrets to plant, and the service with a provider that hands them out: gunicorn serves this
module's `application` in the place of the product's own.
"""

from datetime import UTC, datetime
from typing import Any, NoReturn
from uuid import uuid4

from app.domain.contacts import Contact
from app.errors import ProviderError, ProviderTimeout
from app.factory import create_app
from app.providers import CRM_PROVIDERS

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


class LeakyCrm:
    """A CrmProvider whose answers and errors are full of secrets."""

    name = "leaky"

    def create(self, *_: object, **__: object) -> Contact:
        """A contact with more in it than was asked for."""
        now = datetime.now(UTC)
        return Contact(
            id=str(uuid4()),
            provider=self.name,
            email="jane@example.com",
            first_name=TEXT,
            last_name=None,
            company=None,
            phone=None,
            properties=PAYLOAD,
            created_at=now,
            updated_at=now,
        )

    def get(self, *_: object, **__: object) -> NoReturn:
        """A provider's error, which quotes."""
        raise ProviderError(f"No such contact; you sent {TEXT}", permanent=True, status=404)

    def update(self, *_: object, **__: object) -> NoReturn:
        """A provider that is slow."""
        raise ProviderTimeout(f"No answer to {TEXT}")

    def delete(self, *_: object, **__: object) -> NoReturn:
        """An exception of its own, with a cause."""
        try:
            raise ValueError(TEXT)
        except ValueError as error:
            raise RuntimeError(f"the provider failed: {TEXT}") from error

    list = search = get


def __getattr__(name: str) -> Any:
    """Make the application when a server asks for it, and not for who wants the secrets alone."""
    if name != "application":
        raise AttributeError(name)
    CRM_PROVIDERS[LeakyCrm.name] = lambda _: LeakyCrm()  # type: ignore[assignment,return-value]
    return create_app()
