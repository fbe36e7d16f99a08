"""Credentials at rest: encrypted by the first of the platform's keys, read by any of them.

What is encrypted names its tenant and purpose, so that a row put in another's place is not read.
"""

from typing import Any
from uuid import UUID

import orjson
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from .errors import OpsledgerError
from .setting_types import InvalidSetting

SETTING = "OPSLEDGER_CREDENTIAL_KEYS"
KEYS_RULE = "keys as `flask providers new-key` makes them, parted by commas, the newest first"


class NoCredentialKeys(OpsledgerError):
    """Credentials cannot be kept: set OPSLEDGER_CREDENTIAL_KEYS (see: flask providers new-key)."""


class UnreadableCredentials(OpsledgerError):
    """Credentials cannot be read by the keys of OPSLEDGER_CREDENTIAL_KEYS."""


class Vault:
    """Encrypts and decrypts credentials.

    Args:
        keys: Fernet keys parted by commas, the newest first; none if empty.

    Raises:
        InvalidSetting: one of them is none.
    """

    def __init__(self, keys: str) -> None:
        given = [key.strip() for key in keys.split(",") if key.strip()]
        try:
            self._fernet = MultiFernet([Fernet(key) for key in given]) if given else None
        except ValueError as error:
            raise InvalidSetting(SETTING, "…", KEYS_RULE) from error

    def lock(self, tenant_id: UUID, purpose: str, credentials: dict[str, str]) -> bytes:
        """Encrypt.

        Raises:
            NoCredentialKeys: there is no key.
        """
        if self._fernet is None:
            raise NoCredentialKeys
        bound = {"for": [str(tenant_id), purpose], "credentials": credentials}
        return self._fernet.encrypt(orjson.dumps(bound))

    def unlock(self, tenant_id: UUID, purpose: str, locked: bytes) -> dict[str, str]:
        """Decrypt.

        Raises:
            UnreadableCredentials: no key fits, or they are another tenant's or purpose's.
        """
        try:
            if self._fernet is None:
                raise UnreadableCredentials
            bound: dict[str, Any] = orjson.loads(self._fernet.decrypt(locked))
        except InvalidToken as error:
            raise UnreadableCredentials from error
        if bound["for"] != [str(tenant_id), purpose]:
            raise UnreadableCredentials
        found: dict[str, str] = bound["credentials"]
        return found


def new_key() -> str:
    """A new key."""
    return Fernet.generate_key().decode()
