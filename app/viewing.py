"""Viewer links: each shows the audit logs of one resource or user, for a while, to who has no key.

A link is sealed: who holds it can neither change what it stands for nor read the digest in it, and
it ends with its key.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson
from cryptography.fernet import Fernet, InvalidToken

from .errors import ViewersClosed

PURPOSE = b"opsledger viewer 1"
EXTENSION = "opsledger-viewers"  # the key in Flask's app.extensions
ANCESTORS = "opsledger-viewer-ancestors"  # likewise: the sites that may frame what a link shows
PATH = "/embed"
MINUTES_MAX = 1440
TOKEN_CHARS_MAX = 4_000


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks by a link, and at what.

    Args:
        key_digest: of the key that made the link, for whose tenant it is.
        filters: what every record shown has: names of fields and their values.
    """

    key_digest: bytes
    filters: tuple[tuple[str, str], ...]
    expires_at: datetime


class Viewers:
    """Seals and reads links.

    Args:
        key: the secret of the platform that signs sessions; empty: there are no links.
    """

    def __init__(self, key: str) -> None:
        derived = hmac.new(key.encode(), PURPOSE, hashlib.sha256).digest()
        self._fernet = Fernet(base64.urlsafe_b64encode(derived)) if key else None

    def seal(self, viewer: Viewer) -> str:
        """The last part of a link.

        Raises:
            ViewersClosed: there is no key to seal it with.
        """
        if self._fernet is None:
            raise ViewersClosed
        expires = int(viewer.expires_at.timestamp())
        told = [expires, viewer.key_digest.hex(), viewer.filters]
        return self._fernet.encrypt(orjson.dumps(told)).decode()

    def read(self, token: str, now: datetime) -> Viewer | None:
        """What a link stands for; None if it is not ours, was changed, or has ended."""
        if self._fernet is None or len(token) > TOKEN_CHARS_MAX:
            return None
        try:
            told = orjson.loads(self._fernet.decrypt(token.encode()))
        except (InvalidToken, UnicodeEncodeError):
            return None
        expires, digest, filters = told
        expires_at = datetime.fromtimestamp(expires, UTC)
        if expires_at <= now:
            return None
        pairs = tuple((str(name), str(value)) for name, value in filters)
        return Viewer(bytes.fromhex(digest), pairs, expires_at)
