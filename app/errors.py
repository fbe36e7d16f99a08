"""Every exception of Opsledger; the docstring of each is its message."""

import errno
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field, in the words a caller is shown."""

    field: str
    detail: str


class OpsledgerError(Exception):
    """Opsledger could not do this."""

    def __init__(self, detail: str = "") -> None:
        self.detail = detail or (type(self).__doc__ or "").split("\n\n")[0]
        super().__init__(self.detail)


class InvalidRecord(OpsledgerError, ValueError):
    """A record breaks a rule of its kind."""

    def __init__(self, field: str, rule: str) -> None:
        self.field = field
        self.rule = rule
        super().__init__(f"{field}: {rule}")


class InvalidInput(OpsledgerError):
    """The request is not valid."""

    def __init__(self, *errors: FieldError) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{error.field}: {error.detail}" for error in errors))


class NotFound(OpsledgerError):
    """There is nothing here that this key may see."""


class CursorTooOld(OpsledgerError):
    """Records that follow this cursor have left the hot store; the Link header leads past them.

    Args:
        resume: the cursor to go on from.
    """

    def __init__(self, resume: str) -> None:
        super().__init__(
            "Records that follow this cursor have left the hot store; to go on past them, follow"
            f" the Link header (after={resume})"
        )
        self.resume = resume


class Unauthenticated(OpsledgerError):
    """An API key is needed: send it as the header X-API-Key."""


class Forbidden(OpsledgerError):
    """This API key may not do this."""


class TooManyRequests(OpsledgerError):
    """This key or its tenant makes too many requests; the header Retry-After says when to go on.

    Args:
        retry_after_s: how long to wait, in seconds.
    """

    def __init__(self, detail: str, retry_after_s: int) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class Conflict(OpsledgerError):
    """This contradicts what is there already."""


class NotManagedHere(OpsledgerError):
    """This process may not manage tenants and keys: it has no MAINTENANCE_DATABASE_URL."""


class ViewersClosed(OpsledgerError):
    """Viewer links cannot be made here: the operator has to set OPSLEDGER_SESSION_KEY."""


class StoreUnavailable(OpsledgerError):
    """The database cannot be reached at the moment; nothing was lost, try again."""


class QueryTimeout(OpsledgerError):
    """The query took too long and was ended; narrow it, for example by since and until."""


class ArchiveDamaged(OpsledgerError):
    """An object of the archive is not what was written; nothing was dropped for it."""


class ArchiveUnavailable(OpsledgerError):
    """The archive cannot be read at the moment; what is hot can."""


class StorageReason(StrEnum):
    """Why storage did not do its part, in one vocabulary for folders and object stores."""

    AWAY = "away"
    SLOW = "slow"
    REFUSED = "refused"
    EXPIRED = "expired"
    FULL = "full"
    DAMAGED = "damaged"
    FAILED = "failed"


class StorageFault(OpsledgerError):
    """The object store did not do what it was asked.

    Args:
        detail: its words, and what it was asked.
        reason: what these come to.
    """

    def __init__(self, detail: str = "", *, reason: StorageReason = StorageReason.FAILED) -> None:
        super().__init__(detail)
        self.reason = reason


FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
REFUSED_ERRORS = (errno.EACCES, errno.EPERM, errno.EROFS)


def reason_of(error: Exception) -> StorageReason:
    """What it comes to that storage, or what was done with it, failed."""
    if isinstance(error, StorageFault):
        return error.reason
    if isinstance(error, ArchiveDamaged):
        return StorageReason.DAMAGED
    if isinstance(error, OSError) and error.errno in FULL_ERRORS:
        return StorageReason.FULL
    if isinstance(error, OSError) and error.errno in REFUSED_ERRORS:
        return StorageReason.REFUSED
    return StorageReason.FAILED


class SpoolFull(OpsledgerError):
    """The spool of this host has reached its bound; the record was not kept."""


class NotDurable(OpsledgerError):
    """The disk did not confirm the record: it is kept, but a power failure could still lose it."""


class NotYetCommitted(OpsledgerError, TimeoutError):
    """Postgres has not confirmed the record in time; it waits on disk and will be shipped."""

    def __init__(self, record_id: UUID) -> None:
        super().__init__()
        self.record_id = record_id


class NotKept(OpsledgerError):
    """This host cannot keep records at the moment; none of these was kept, send them again."""


class BrokerAway(OpsledgerError):
    """The broker cannot be reached at the moment; send the shipment again."""


class LedgerAway(OpsledgerError):
    """The Opsledger that this host ships to does not take records at the moment; they wait here."""


class RecordRefused(OpsledgerError):
    """Postgres refused the record; it is a dead letter now, with the reason beside it."""

    def __init__(self, record_id: UUID) -> None:
        super().__init__()
        self.record_id = record_id


class ProviderCode(StrEnum):
    """What a provider's refusal comes to, in one vocabulary for all of them."""

    NOT_FOUND = "not_found"
    INVALID = "invalid"
    UNAUTHORIZED = "unauthorized"
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"
    TIMEOUT = "timeout"


# The HTTP status that says it best to our caller, whose own key is not what a provider refuses.
PROVIDER_STATUS = {
    ProviderCode.NOT_FOUND: 404,
    ProviderCode.INVALID: 400,
    ProviderCode.UNAUTHORIZED: 502,
    ProviderCode.RATE_LIMITED: 429,
    ProviderCode.UNAVAILABLE: 502,
    ProviderCode.TIMEOUT: 504,
}
PERMANENT_CODES = {ProviderCode.NOT_FOUND, ProviderCode.INVALID, ProviderCode.UNAUTHORIZED}


class ProviderError(OpsledgerError):
    """A provider did not do what it was asked.

    Args:
        detail: the provider's words.
        code: what it comes to.
        field: the parameter that the provider refused, if it was one.
        provider_code: the provider's own name for it.
        retry_after_s: when the provider wants to be asked again, in seconds.
        untouched: whether the provider certainly did nothing, so that asking again is safe.
    """

    def __init__(
        self,
        detail: str = "",
        *,
        code: ProviderCode,
        field: str | None = None,
        provider_code: str | None = None,
        retry_after_s: float | None = None,
        untouched: bool = False,
    ) -> None:
        super().__init__(f"{field}: {detail}" if field else detail)
        self.fields = (FieldError(field, detail),) if field else ()
        self.code = code
        self.provider_code = provider_code
        self.retry_after_s = retry_after_s
        self.untouched = untouched

    @property
    def permanent(self) -> bool:
        """Whether the same call can never succeed."""
        return self.code in PERMANENT_CODES

    @property
    def status(self) -> int:
        """The HTTP status for our caller; 503 where nothing was done and trying again is safe."""
        if self.code is ProviderCode.UNAVAILABLE and self.untouched:
            return 503
        return PROVIDER_STATUS[self.code]


class ChannelError(OpsledgerError):
    """A channel did not take a message.

    Args:
        permanent: whether the same message can never be taken.
    """

    def __init__(self, detail: str = "", *, permanent: bool) -> None:
        super().__init__(detail)
        self.permanent = permanent


class SinkError(OpsledgerError):
    """A destination did not take what it was sent.

    Args:
        permanent: whether the same records can never be taken, for what they are.
        denied: whether it does not let us in, which a person has to change.
        retry_after_s: when it wants to be asked again, in seconds.
        unsure: whether it may have taken some of them all the same, since it never said.
    """

    def __init__(
        self,
        detail: str = "",
        *,
        permanent: bool = False,
        denied: bool = False,
        retry_after_s: float | None = None,
        unsure: bool = False,
    ) -> None:
        super().__init__(detail)
        self.permanent = permanent
        self.denied = denied
        self.retry_after_s = retry_after_s
        self.unsure = unsure


class ProviderTimeout(ProviderError, TimeoutError):
    """The provider did not answer in time."""

    def __init__(self, detail: str = "", *, untouched: bool = False) -> None:
        super().__init__(detail, code=ProviderCode.TIMEOUT, untouched=untouched)


class ProviderAway(ProviderError):
    """The provider cannot be reached; it was asked nothing."""

    def __init__(self, detail: str = "", *, retry_after_s: float | None = None) -> None:
        detail = detail or "The provider cannot be reached"
        super().__init__(
            detail, code=ProviderCode.UNAVAILABLE, untouched=True, retry_after_s=retry_after_s
        )


class ServerAway(ProviderAway):
    """The server of a provider inside this process cannot be reached.

    It is our own store that is away, so that a provider is not to be left alone for it.
    """


class ProviderNotInstalled(ProviderError):
    """The provider's own client is not installed here; it was asked nothing."""

    def __init__(self, provider: str, package: str) -> None:
        super().__init__(
            f"{provider} needs the Python package {package}, which this host lacks:"
            " pip install -r requirements/providers.txt",
            code=ProviderCode.UNAVAILABLE,
            provider_code="not_installed",
            untouched=True,
        )


class ProviderNonsense(ProviderError):
    """The provider answered something that is no answer to what it was asked."""

    def __init__(self, detail: str = "") -> None:
        detail = detail or "The provider gave an answer that cannot be read"
        super().__init__(detail, code=ProviderCode.UNAVAILABLE, provider_code="malformed")
