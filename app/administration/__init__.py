"""What an operator may change of tenants and keys, the same by commands and over HTTP: each change
is one transaction, and put on record once it is committed.
"""

from .keys import KeyExpired, NewKey, NoSuchKey
from .managing import NoSuchTenant, PutOnRecord, managing, the_tenant
from .tenants import NO_REDACTION_KEY, Administration

__all__ = [
    "NO_REDACTION_KEY",
    "Administration",
    "KeyExpired",
    "NewKey",
    "NoSuchKey",
    "NoSuchTenant",
    "PutOnRecord",
    "managing",
    "the_tenant",
]
