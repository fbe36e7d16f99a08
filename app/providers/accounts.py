"""Which provider serves a tenant: by its account, else by the platform's default.

A process remembers an account for a few seconds, so that an operation is no query.
"""

from threading import Lock
from typing import Any
from uuid import UUID

from cachetools import TTLCache, cached

from ..domain.accounts import Account, StoredAccount
from ..errors import (
    ProviderAway,
    ProviderCode,
    ProviderError,
    ProviderTimeout,
    QueryTimeout,
    StoreUnavailable,
)
from ..setting_types import InvalidSetting
from ..store.provider_accounts import find_account
from ..store.session import Database
from ..vault import UnreadableCredentials, Vault
from .catalogue import KINDS, kinds_of
from .protocols import CAPABILITIES

ACCOUNTS_REMEMBERED = 10_000
REMEMBER_S = 5.0  # the longest that a changed account is still used as it was
DEFAULTS = "OPSLEDGER_DEFAULT_PROVIDERS"


def read_defaults(text: str) -> dict[str, str]:
    """The default provider of each capability.

    Raises:
        InvalidSetting: it names a capability or a provider that there is not.
    """
    chosen = dict.fromkeys(CAPABILITIES, "sandbox")
    for part in filter(None, (part.strip() for part in text.split(","))):
        capability, _, name = part.partition("=")
        if capability not in chosen:
            raise InvalidSetting(DEFAULTS, text, f"one of {', '.join(CAPABILITIES)} before each =")
        free = [kind for kind in kinds_of(capability) if not KINDS[kind].asked]
        if name not in free:
            rule = f"{capability}= one of {', '.join(free)}; others need an account of each tenant"
            raise InvalidSetting(DEFAULTS, text, rule)
        chosen[capability] = name
    return chosen


class Accounts:
    """Finds the account behind an operation."""

    def __init__(self, database: Database, vault: Vault, defaults: str) -> None:
        self._database = database
        self._vault = vault
        self._defaults = read_defaults(defaults)
        remembered: TTLCache[Any, Account] = TTLCache(ACCOUNTS_REMEMBERED, REMEMBER_S)
        self.find = cached(remembered, lock=Lock())(self._find)

    def default(self, capability: str) -> str:
        """The provider of those who have not chosen one."""
        return self._defaults[capability]

    def _find(self, tenant_id: UUID, capability: str) -> Account:
        """A tenant's account for a capability.

        Raises:
            ProviderError: the database does not say which, or it cannot be used.
        """
        try:
            with self._database.tenant(tenant_id) as session:
                stored = find_account(session, tenant_id, capability)
        except StoreUnavailable as error:
            raise ProviderAway("The tenant's account cannot be reached") from error
        except QueryTimeout as error:
            raise ProviderTimeout("The tenant's account was not found in time") from error
        if stored is None:
            return Account(provider=self._defaults[capability])
        return Account(
            provider=stored.provider,
            options=stored.options,
            credentials=self._unlocked(stored),
        )

    def _unlocked(self, stored: StoredAccount) -> dict[str, str]:
        if stored.credentials is None:
            return {}
        try:
            return self._vault.unlock(stored.tenant_id, stored.capability, stored.credentials)
        except UnreadableCredentials as error:
            raise ProviderError(error.detail, code=ProviderCode.UNAUTHORIZED) from error
