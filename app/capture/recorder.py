"""The recorder: turns what callers give into records and keeps them.

Within a request, records wait for the request's end, which completes them; outside, they are
appended at once. Either way nothing is kept that was not cleaned first.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any, Unpack
from uuid import UUID

import flask
from uuid_utils.compat import NIL, uuid7

from ..config import RECORD_BYTES_MAX
from ..domain.bounds import shortened
from ..domain.codec import encode
from ..domain.context import RequestContext, complete
from ..domain.records import (
    ACTION_TYPE_FORM,
    BUILTIN_ACTION_TYPES,
    Kind,
    Record,
    action_record,
    audit_record,
)
from ..errors import (
    InvalidRecord,
    NotDurable,
    NotYetCommitted,
    RecordRefused,
    SpoolFull,
    StoreUnavailable,
)
from ..spool import Spool
from ..telemetry import CAPTURED, LOST, get_logger
from .acting import identified
from .cleaner import Cleaner
from .policies import Policies
from .terms import Terms, TermsGiven

EXTENSION = "opsledger"  # the key in Flask's app.extensions
PENDING = "opsledger.pending"  # the request's records, in the WSGI environ
PENDING_MAX = 500  # of one request; what comes after is kept at once, without its `http` part

COUNTERS = {kind: CAPTURED.labels(kind.value) for kind in Kind}  # finding one costs its increment
USUAL = Terms()

Wait = Callable[[threading.Event, float | None], bool]

log = get_logger(__name__)


def _wait_alone(receipt: threading.Event, timeout_s: float | None) -> bool:
    return receipt.wait(timeout_s or 0.0)


class Recorder:
    """Makes and keeps the records of one process.

    Args:
        spool: where records are appended.
        payload_bytes_max: bound of one JSON field, in bytes.
        record_bytes_max: bound of a whole record, in bytes.
        notify: called after an append; wakes the shipper.
        learn: asks the platform for its action types and sets `action_types`; raises when it
            cannot. Called for a name that is not built in, once, in a process that has not
            heard of them yet; the shipper keeps them fresh from then on.
        wait: waits until a receipt comes, at most so many seconds (by the settings if None); says
            whether it came.
        is_stored: whether the log has a record whose receipt came, or refused it; raises when it
            cannot tell.
        policies: the tenants' redaction policies; without, nobody has one.
    """

    def __init__(
        self,
        spool: Spool,
        *,
        payload_bytes_max: int,
        record_bytes_max: int = RECORD_BYTES_MAX,
        notify: Callable[[], None],
        learn: Callable[[], None],
        wait: Wait = _wait_alone,
        is_stored: Callable[[Record], bool] = lambda _: True,
        policies: Policies | None = None,
    ) -> None:
        self.spool = spool
        self._cleaner = Cleaner(payload_bytes_max, policies)
        self._record_bytes_max = record_bytes_max
        self._notify = notify
        self._learn = learn
        self._wait = wait
        self._is_stored = is_stored
        self.request_context: Callable[[], RequestContext | None] = lambda: None
        self.action_types: frozenset[str] | None = None
        self._asked = False

    def record_action(self, values: dict[str, Any], **terms: Unpack[TermsGiven]) -> UUID:
        """Record a provider operation; returns the record's id.

        Raises:
            InvalidRecord: names the field and the rule it breaks.
            SpoolFull, NotDurable, NotYetCommitted, RecordRefused: as the terms say.
        """
        return self._record(Kind.ACTION, values, terms)

    def check_action(self, values: dict[str, Any]) -> None:
        """Refuse an action before it is carried out, if its record would be refused after.

        Raises:
            InvalidRecord: names the field and the rule it breaks.
        """
        allowed = self._allowed_types(values["action_type"])
        metadata = values["metadata"]
        known = {} if isinstance(metadata, Mapping) else metadata  # cleaning makes it a dict
        action_record({**values, "id": NIL, "metadata": known}, action_types=allowed)

    def record_audit(self, values: dict[str, Any], **terms: Unpack[TermsGiven]) -> UUID:
        """Record a system change; returns the record's id.

        Raises:
            InvalidRecord: names the field and the rule it breaks.
            SpoolFull, NotDurable, NotYetCommitted, RecordRefused: as the terms say.
        """
        return self._record(Kind.AUDIT, values, terms)

    def make(self, kind: Kind, values: dict[str, Any]) -> Record:
        """A record of values that have an id: cleaned and judged, not yet kept.

        Raises:
            InvalidRecord: names the field and the rule it breaks.
        """
        cleaned = self._cleaner.clean(kind, values)
        if kind is Kind.AUDIT:
            return audit_record(cleaned)
        return action_record(cleaned, action_types=self._allowed_types(values["action_type"]))

    def make_as_named(self, kind: Kind, values: dict[str, Any]) -> Record:
        """As `make`, of whatever action type a name can be: the worker judges it, and keeps what
        it refuses as a dead letter.

        Raises:
            InvalidRecord: names the field and the rule it breaks.
        """
        cleaned = self._cleaner.clean(kind, values)
        if kind is Kind.AUDIT:
            return audit_record(cleaned)
        return action_record(cleaned, action_types=_as_named(values["action_type"]))

    def line(self, record: Record) -> bytes:
        """The line of a record, without what its tenant's policy conceals and within bounds."""
        whole = self._cleaner.conceal(record)
        line = encode(whole)
        if len(line) > self._record_bytes_max:
            line = encode(shortened(whole, len(line) - self._record_bytes_max))
        return line

    def keep(self, records: Iterable[Record], context: RequestContext | None = None) -> None:
        """Append records to the spool; a failure is counted and logged, never raised."""
        for record in records:
            with suppress(Exception):
                self._append_or_count(record, context)
        self._tell()

    def keep_accepted(self, records: Iterable[Record]) -> dict[UUID, str]:
        """Append records whose caller waits for the answer; tells which are not on disk, and why.

        Returns:
            `spool_full` or `append_failed` by the id of each record that was not kept; counted as
            lost, since whoever runs this host has to act, and logged once.
        """
        unkept: dict[UUID, str] = {}
        last: Exception | None = None
        for record in records:
            try:
                self._append(record, None)
            except NotDurable:
                continue
            except Exception as error:
                last, unkept[record.id] = error, _reason(error)
                LOST.labels(record.kind.value, unkept[record.id]).inc()
        if unkept:
            log.error("records not accepted", records=len(unkept), error=repr(last))
        self._tell()
        return unkept

    def _append_or_count(
        self,
        record: Record,
        context: RequestContext | None,
        receipt: threading.Event | None = None,
        durable: bool = False,
    ) -> None:
        try:
            self._append(record, context, receipt, durable)
        except NotDurable:
            raise
        except Exception as error:
            _count_loss(record.kind, record.id, _reason(error), error)
            raise

    def _append(
        self,
        record: Record,
        context: RequestContext | None,
        receipt: threading.Event | None = None,
        durable: bool = False,
    ) -> None:
        if context:
            complete(record, context)
        line, reserved = self.line(record), record.kind is Kind.AUDIT
        try:
            self.spool.append(line, reserved=reserved, receipt=receipt, durable=durable)
        except NotDurable:  # kept all the same
            COUNTERS[record.kind].inc()
            raise
        COUNTERS[record.kind].inc()

    def _tell(self) -> None:
        try:
            self._notify()
        except Exception:  # no thread to be had: the next record tries again
            log.exception("shipper not told, records wait")

    def _keep_on(self, terms: Terms, record: Record) -> None:
        """Append a record at once, and keep to what its caller asks."""
        receipt = threading.Event() if terms.wait else None
        try:
            self._append_or_count(record, self._context_so_far(), receipt, terms.durable)
        except OSError as error:
            raise SpoolFull(f"The disk of this host did not take the record: {error}") from error
        finally:
            self._tell()
        if receipt is not None:
            self._await(record, receipt, terms.timeout_s)

    def _await(self, record: Record, receipt: threading.Event, timeout_s: float | None) -> None:
        if not self._wait(receipt, timeout_s):
            raise NotYetCommitted(record.id)
        try:  # the receipt is the shipment's, of which a record may have become a dead letter
            stored = self._is_stored(record)
        except StoreUnavailable as error:
            raise NotYetCommitted(record.id) from error
        if not stored:
            raise RecordRefused(record.id)

    def _context_so_far(self) -> RequestContext | None:
        try:
            return self.request_context()
        except Exception:
            log.exception("request context not known, record kept without it")
            return None

    def _record(self, kind: Kind, values: dict[str, Any], given: TermsGiven) -> UUID:
        terms = Terms(**given) if given else USUAL
        record_id = uuid7()
        try:
            record = self.make(kind, {**identified(kind, values), "id": record_id})
            if terms.usual:
                self._keep_in_time(record)
        except InvalidRecord as error:
            _count_loss(kind, record_id, "invalid", error)
            raise
        except Exception as error:  # a payload whose methods raise must not break its request
            _count_loss(kind, record_id, "capture_failed", error)
            if not terms.usual:
                raise
            return record_id
        if not terms.usual:
            self._keep_on(terms, record)
        return record_id

    def _keep_in_time(self, record: Record) -> None:
        """Keep a record at the end of its request, or at once where there is none."""
        pending = flask.request.environ.get(PENDING) if flask.has_request_context() else None
        if pending is None or len(pending) >= PENDING_MAX:
            self.keep([record])
        else:
            pending.append(record)

    def _allowed_types(self, name: object) -> Collection[str]:
        if name in BUILTIN_ACTION_TYPES:
            return BUILTIN_ACTION_TYPES
        if self.action_types is None and not self._asked:
            self._asked = True  # asking may take seconds; no other request is made to wait
            try:
                self._learn()
            except Exception as error:
                log.warning("action types not known yet", error=repr(error))
        if self.action_types is not None:
            return self.action_types
        # The database is away. It will judge the name; refusing it here could lose a record.
        return _as_named(name)


def _as_named(name: object) -> Collection[str]:
    """The action types that are built in, and this one if it can be the name of any."""
    if isinstance(name, str) and ACTION_TYPE_FORM.fullmatch(name):
        return (*BUILTIN_ACTION_TYPES, name)
    return BUILTIN_ACTION_TYPES


def _reason(error: Exception) -> str:
    return "spool_full" if isinstance(error, SpoolFull) else "append_failed"


def _count_loss(kind: Kind, record_id: UUID, reason: str, error: Exception) -> None:
    LOST.labels(kind.value, reason).inc()
    log.error(
        "record lost", kind=kind.value, record=str(record_id), reason=reason, error=repr(error)
    )


def current_recorder() -> Recorder:
    """The recorder of the current Flask app, or the one of this process outside of any.

    Raises:
        RuntimeError: Opsledger was not set up.
    """
    opsledger = flask.current_app.extensions.get(EXTENSION) if flask.has_app_context() else None
    if opsledger is not None:
        recorder: Recorder = opsledger.recorder
        return recorder
    if _process_recorder is None:
        raise RuntimeError("Opsledger is not set up here: call Opsledger().init_app(app) first")
    return _process_recorder


def set_process_recorder(recorder: Recorder) -> None:
    """Serve log_action and AuditService outside of a Flask app, as in scripts and tasks."""
    global _process_recorder  # noqa: PLW0603
    _process_recorder = recorder


_process_recorder: Recorder | None = None
