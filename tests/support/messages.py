"""A message to try channels with."""

from datetime import UTC, datetime

from uuid_utils.compat import uuid7

from app.channels import Message


def a_message() -> Message:
    """A test message."""
    return Message(
        id=uuid7(), tenant="t", event="test", created_at=datetime.now(UTC), payload={"alerts": []}
    )
