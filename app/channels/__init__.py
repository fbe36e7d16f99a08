"""Channels: how a message about alerts reaches people, one file per kind."""

from ..config import Settings
from ..errors import ChannelError
from .apprise import check_apprise, send_apprise
from .credentials import Kept, keep_target, open_target
from .mail import check_mail, send_mail
from .message import Message
from .webhook import check_webhook, send_webhook

__all__ = [
    "KINDS",
    "Kept",
    "Message",
    "check_target",
    "keep_target",
    "open_target",
    "send",
]

_SENDERS = {"webhook": send_webhook, "email": send_mail, "apprise": send_apprise}
_CHECKS = {"webhook": check_webhook, "email": check_mail, "apprise": check_apprise}
KINDS = tuple(_SENDERS)


def check_target(kind: str, target: str, settings: Settings) -> str:
    """Refuse a target that can never be sent to; returns what may be shown of it.

    Raises:
        ChannelError: says what is wrong.
    """
    return _CHECKS[kind](target, settings)


def send(kind: str, target: str, secret: str | None, message: Message, settings: Settings) -> str:
    """Send a message; returns what the other side answered.

    Raises:
        ChannelError: it was not taken; `permanent` says that it never will be.
    """
    if kind not in _SENDERS:
        raise ChannelError(f"There is no channel of kind {kind}", permanent=True)
    return _SENDERS[kind](target, secret, message, settings)
