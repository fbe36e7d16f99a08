"""The unified contact: a person in a CRM, whichever provider keeps them."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .identity import format_time

CONTACT_FIELDS = ("email", "first_name", "last_name", "company", "phone", "properties")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """A contact; `id` is the provider's own, `properties` what has no unified field."""

    id: str
    provider: str
    email: str
    first_name: str | None
    last_name: str | None
    company: str | None
    phone: str | None
    properties: dict[str, Any] = field(default_factory=dict)
    created_at: datetime
    updated_at: datetime

    def as_json(self) -> dict[str, Any]:
        """The contact as the API and the log show it."""
        values = {name: getattr(self, name) for name in self.__slots__}
        values["created_at"] = format_time(self.created_at)
        values["updated_at"] = format_time(self.updated_at)
        return values
