"""What a CRM provider can do; every provider passes the same contract suite."""

from typing import Any, Protocol
from uuid import UUID

from ..domain.contacts import Contact

Contacts = list[Contact]


class CrmProvider(Protocol):
    """Contacts of one tenant at a provider.

    Every method raises ProviderError: permanent with status 404 for an unknown contact,
    transient when the provider is away or slow.
    """

    name: str

    def create(self, tenant_id: UUID, values: dict[str, Any]) -> Contact:
        """Add a contact from unified fields."""
        ...

    def get(self, tenant_id: UUID, contact_id: str) -> Contact:
        """One contact by the provider's id."""
        ...

    def update(self, tenant_id: UUID, contact_id: str, values: dict[str, Any]) -> Contact:
        """Change the given fields, leave the others."""
        ...

    def delete(self, tenant_id: UUID, contact_id: str) -> None:
        """Remove a contact."""
        ...

    def list(self, tenant_id: UUID, *, limit: int, after: str | None) -> Contacts:
        """Contacts, newest first, past the contact id `after`."""
        ...

    def search(self, tenant_id: UUID, query: str, *, limit: int, after: str | None) -> Contacts:
        """Contacts of which any text field holds `query`, whatever its case."""
        ...
