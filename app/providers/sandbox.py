"""The sandbox provider: a CRM without an account elsewhere, kept in Postgres per tenant."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from ..domain.contacts import Contact
from ..errors import ProviderError, ProviderTimeout, QueryTimeout, StoreUnavailable
from ..store.contacts import ContactRepository
from ..store.session import Database
from .crm import Contacts


class SandboxCrm:
    """A CrmProvider whose contacts live in the table sandbox_contacts."""

    name = "sandbox"

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, tenant_id: UUID, values: dict[str, Any]) -> Contact:
        """Add a contact from unified fields."""
        with self._contacts(tenant_id) as contacts:
            return contacts.add(uuid7(), values)

    def get(self, tenant_id: UUID, contact_id: str) -> Contact:
        """One contact by id."""
        with self._contacts(tenant_id) as contacts:
            return _found(contacts.get(_own_id(contact_id)), contact_id)

    def update(self, tenant_id: UUID, contact_id: str, values: dict[str, Any]) -> Contact:
        """Change the given fields, leave the others."""
        with self._contacts(tenant_id) as contacts:
            return _found(contacts.update(_own_id(contact_id), values), contact_id)

    def delete(self, tenant_id: UUID, contact_id: str) -> None:
        """Remove a contact."""
        with self._contacts(tenant_id) as contacts:
            if not contacts.delete(_own_id(contact_id)):
                raise _unknown(contact_id)

    def list(self, tenant_id: UUID, *, limit: int, after: str | None) -> Contacts:
        """Contacts, newest first, past the contact id `after`."""
        with self._contacts(tenant_id) as contacts:
            return contacts.list(limit=limit, after=_start(after))

    def search(self, tenant_id: UUID, query: str, *, limit: int, after: str | None) -> Contacts:
        """Contacts of which any text field holds `query`, whatever its case."""
        with self._contacts(tenant_id) as contacts:
            return contacts.list(limit=limit, after=_start(after), query=query)

    @contextmanager
    def _contacts(self, tenant_id: UUID) -> Iterator[ContactRepository]:
        try:
            with self._database.tenant(tenant_id) as session:
                yield ContactRepository(session, tenant_id)
        except StoreUnavailable as error:
            raise ProviderError(
                "The sandbox cannot be reached", permanent=False, status=503
            ) from error
        except QueryTimeout as error:
            raise ProviderTimeout("The sandbox did not answer in time") from error


def _own_id(contact_id: str) -> UUID:
    try:
        return UUID(contact_id)
    except ValueError as error:
        raise _unknown(contact_id) from error


def _start(after: str | None) -> UUID | None:
    try:
        return UUID(after) if after else None
    except ValueError as error:
        rule = "is not a cursor of the sandbox; take it from the Link header"
        raise ProviderError(rule, permanent=True, status=400, field="after") from error


def _found(contact: Contact | None, contact_id: str) -> Contact:
    if contact is None:
        raise _unknown(contact_id)
    return contact


def _unknown(contact_id: str) -> ProviderError:
    return ProviderError(f"There is no contact {contact_id}", permanent=True, status=404)
