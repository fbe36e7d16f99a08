"""Who may do what: tenants, API keys and the scopes a key can have."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from uuid import UUID

OPERATOR_TENANT_ID = UUID("00000000-0000-7000-8000-000000000000")


class Scope(StrEnum):
    """What an API key may do."""

    LOGS_READ = "logs:read"
    LOGS_READ_PAYLOADS = "logs:read:payloads"
    LOGS_WRITE = "logs:write"
    LOGS_EXPORT = "logs:export"
    ADAPTER_USE = "adapter:use"
    ALERTS_WRITE = "alerts:write"
    FORWARDING_WRITE = "forwarding:write"
    ADMIN = "admin"


class Holder(StrEnum):
    """Who holds an API key: a person, who reads, or a machine, which processes."""

    HUMAN = "human"
    MACHINE = "machine"


# What a key without the scope is shown of a log instead of what is free-form in it.
FREE_FORM = frozenset({"request_payload", "response_data", "changes", "metadata"})
WITHHELD = {"withheld": Scope.LOGS_READ_PAYLOADS.value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A tenant of the platform."""

    id: UUID
    name: str
    slug: str
    is_active: bool
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """An API key without its secret."""

    tenant_id: UUID
    id: UUID
    name: str
    prefix: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    networks: tuple[str, ...] = ()
    holder: str = Holder.MACHINE.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who a key speaks for, and from which networks; none named means from everywhere."""

    key_id: UUID
    tenant_id: UUID
    tenant_active: bool
    prefix: str
    scopes: frozenset[str]
    expires_at: datetime | None
    revoked_at: datetime | None
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    holder: str = Holder.MACHINE.value

    @property
    def of_operator(self) -> bool:
        """Whether the key is the platform's own; only there the scope admin means anything."""
        return self.tenant_id == OPERATOR_TENANT_ID

    def usable_at(self, now: datetime) -> bool:
        """Whether the key is neither revoked nor expired; rotation sets a future end."""
        expired = self.expires_at is not None and self.expires_at <= now
        return not expired and not self.revoked_by(now)

    def revoked_by(self, now: datetime) -> bool:
        """Whether the key was ended by hand, or by a rotation whose overlap is over."""
        return self.revoked_at is not None and self.revoked_at <= now

    def usable_from(self, address: str | None) -> bool:
        """Whether a caller at this address may use the key; what is no address is from nowhere."""
        if not self.networks:
            return True
        try:
            found = ip_address(address or "")
        except ValueError:
            return False
        if isinstance(found, IPv6Address) and found.ipv4_mapped:
            found = found.ipv4_mapped
        return any(found in network for network in self.networks)
