"""Principals: until when a key can be used."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from app.domain.access import Principal, Scope

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EARLIER, LATER = NOW - timedelta(seconds=1), NOW + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("expires_at", "revoked_at", "usable"),
    [
        (None, None, True),
        (LATER, None, True),
        (None, LATER, True),  # rotation lets the old key live on for a while
        (LATER, LATER, True),
        (NOW, None, False),
        (EARLIER, None, False),
        (None, NOW, False),
        (None, EARLIER, False),
        (LATER, EARLIER, False),
        (EARLIER, LATER, False),
    ],
)
def test_a_key_ends_at_the_earlier_of_expiry_and_revocation(
    expires_at: datetime | None, revoked_at: datetime | None, usable: bool
) -> None:
    """From that very moment on."""
    principal = Principal(
        key_id=UUID(int=1),
        tenant_id=UUID(int=2),
        tenant_active=True,
        prefix="ops_test_1",
        scopes=frozenset(Scope),
        expires_at=expires_at,
        revoked_at=revoked_at,
    )
    assert principal.usable_at(NOW) is usable
