"""Providers: one file each, one protocol per capability; they raise ProviderError alone.

Providers is the door: it finds a tenant's account, opens the provider of a capability for one
operation, and sees that the operation is on record.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar
from uuid import UUID

from ..config import Settings
from ..domain.accounts import Account
from ..domain.faults import Fault
from ..errors import FieldError, InvalidInput, ProviderError, ProviderNotInstalled
from ..outbound import destinations_of
from ..store.session import Database
from ..vault import Vault
from .accounts import Accounts
from .catalogue import KINDS, SANDBOX
from .kinds import TIMEOUT_S
from .messages import Transport
from .network import Network
from .operation import Line, Operation
from .policy import Breaker, Policy
from .protocols import Capability
from .sandbox import FaultPlan, FaultyTransport

__all__ = ["EXTENSION", "FAULT_HEADER", "Providers"]

EXTENSION = "opsledger-providers"  # the key in Flask's app.extensions

FAULT_HEADER = "X-Sandbox-Fault"

P = TypeVar("P")


class Providers:
    """All providers, as one process of the service uses them.

    Args:
        database: the web role's.

    Raises:
        InvalidSetting: a setting names what there is not.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self.vault = Vault(settings.credential_keys)
        self.accounts = Accounts(database, self.vault, settings.default_providers)
        self._plan = FaultPlan(settings.sandbox_faults)
        self._network = Network(destinations_of(settings))
        self._policy = Policy(
            attempts_max=settings.provider_attempts_max,
            timeout_s=settings.provider_timeout_s,
            backoff_s=settings.provider_backoff_s,
            wait_s_max=settings.provider_wait_s_max,
            failures_max=settings.provider_failures_max,
            rest_s=settings.provider_rest_s,
        )
        self._breaker = Breaker(self._policy, time.monotonic)

    @contextmanager
    def operate(
        self,
        capability: Capability[P],
        tenant_id: UUID,
        action_type: str,
        *,
        operation_id: str,
        script: tuple[Fault, ...] | None = None,
    ) -> Iterator[P]:
        """A tenant's provider for one operation, which is on record once the block has ended.

        Args:
            script: the faults that the sandbox shall have in it.

        Raises:
            InvalidInput: faults were asked of another provider than the sandbox.
        """
        try:
            account = self.accounts.find(tenant_id, capability.name)
        except ProviderError:
            unknown = Account(provider=self.accounts.default(capability.name))
            with Operation(operation_id, tenant_id, action_type, self._line(unknown, tenant_id)):
                raise
        if script is not None and account.provider != SANDBOX.name:
            rule = f"is for the provider sandbox alone; here it is {account.provider}"
            raise InvalidInput(FieldError(FAULT_HEADER, rule))
        line = self._line(account, tenant_id, script)
        with Operation(operation_id, tenant_id, action_type, line) as operation:
            yield _opened(capability, operation, account)

    def _line(
        self, account: Account, tenant_id: UUID, script: tuple[Fault, ...] | None = None
    ) -> Line:
        kind = KINDS[account.provider]
        transport: Transport = self._network
        if kind.server is not None:
            transport = kind.server(self._database, tenant_id)
        if kind is SANDBOX:
            transport = FaultyTransport(transport, script or self._plan.next_script())
        return Line(
            provider=kind.name,
            transport=transport,
            timeout_s=account.options.get(TIMEOUT_S, self._policy.timeout_s),
            policy=self._policy,
            breaker=self._breaker,
            judge=kind.judge,
        )


def _opened(capability: Capability[P], operation: Operation, account: Account) -> P:
    """The provider's object; its client is imported when it is first needed.

    Raises:
        ProviderNotInstalled: there is no such client here.
    """
    try:
        made: P = KINDS[account.provider].openers[capability.name](operation, account)
    except ModuleNotFoundError as error:
        raise ProviderNotInstalled(account.provider, error.name or "it names") from error
    return made
