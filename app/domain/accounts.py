"""A tenant's account at a provider, as it is stored and as it is used."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAccount:
    """Which provider a tenant has for a capability; the credentials are encrypted."""

    tenant_id: UUID
    capability: str
    provider: str
    options: dict[str, Any]
    credentials: bytes | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account in use.

    Args:
        provider: its provider's name.
        options: what may be known: base_url, timeout_s, and what the provider asks for.
        credentials: secrets by name; never shown, not even by repr.
    """

    provider: str
    options: Mapping[str, Any] = field(default_factory=dict)
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
