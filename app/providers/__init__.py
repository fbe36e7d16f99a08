"""Providers: one file each, one protocol per capability; they raise ProviderError alone."""

from collections.abc import Callable

from ..config import InvalidSetting
from ..store.session import Database
from .crm import CrmProvider
from .sandbox import SandboxCrm

__all__ = ["CRM_PROVIDERS", "CrmProvider", "crm_provider"]

CRM_PROVIDERS: dict[str, Callable[[Database], CrmProvider]] = {"sandbox": SandboxCrm}


def crm_provider(name: str, database: Database) -> CrmProvider:
    """The CRM provider of a name.

    Raises:
        InvalidSetting: there is none of that name.
    """
    if name not in CRM_PROVIDERS:
        known = ", ".join(sorted(CRM_PROVIDERS))
        raise InvalidSetting("OPSLEDGER_CRM_PROVIDER", name, f"one of {known}")
    return CRM_PROVIDERS[name](database)
