"""What is secret of a channel: its target and the secret that signs, encrypted for the database."""

from dataclasses import dataclass
from uuid import UUID

from ..errors import ChannelError
from ..vault import UnreadableCredentials, Vault

OPEN_KINDS = frozenset({"email"})  # an address is no secret


@dataclass(frozen=True, slots=True)
class Kept:
    """A channel's target as the database has it: in the clear, or empty and in its credentials.

    Args:
        secret: in the clear, of channels from before these were encrypted.
    """

    target: str
    credentials: bytes | None = None
    secret: str | None = None


def keep_target(
    vault: Vault, tenant_id: UUID, channel_id: UUID, kind: str, target: str, secret: str | None
) -> Kept:
    """A channel's target as it may be kept.

    Raises:
        NoCredentialKeys: it is a secret, and there is no key to encrypt it by.
    """
    if kind in OPEN_KINDS:
        return Kept(target)
    credentials = {"target": target} | ({"secret": secret} if secret else {})
    return Kept("", vault.lock(tenant_id, _purpose(channel_id), credentials))


def open_target(
    vault: Vault, tenant_id: UUID, channel_id: UUID, kept: Kept
) -> tuple[str, str | None]:
    """Target and secret of a channel.

    Raises:
        ChannelError: the keys that are set do not open them; with the right ones they may.
    """
    if kept.credentials is None:
        return kept.target, kept.secret
    try:
        opened = vault.unlock(tenant_id, _purpose(channel_id), kept.credentials)
    except UnreadableCredentials as error:
        raise ChannelError(error.detail, permanent=False) from error
    return opened["target"], opened.get("secret")


def _purpose(channel_id: UUID) -> str:
    """What the credentials of a channel are bound to, beside its tenant."""
    return f"channel {channel_id}"
