"""The unified contact as the API and the log show it."""

from datetime import UTC, datetime

from app.domain.identity import format_time
from app.domain.resources import Contact

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)


def test_a_contact_is_shown_with_all_its_fields_and_times_as_text() -> None:
    """Those that are empty too, so that every contact has the same shape."""
    contact = Contact(
        id="7",
        provider="sandbox",
        email="a@example.com",
        first_name="Ann",
        last_name=None,
        company=None,
        phone=None,
        created_at=MOMENT,
        updated_at=MOMENT,
    )
    shown = contact.as_json()
    assert set(shown) == {
        *("id", "provider", "url", "email", "first_name", "last_name", "company", "phone"),
        *("properties", "created_at", "updated_at"),
    }
    assert shown["first_name"] == "Ann"
    assert shown["properties"] == {}
    assert Contact.from_json(shown) == contact
    assert shown["created_at"] == shown["updated_at"] == format_time(MOMENT)
