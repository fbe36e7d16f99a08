"""Notifying: messages that are due go to their channels, again and again until one is taken."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from ..channels import Kept, Message, open_target, send
from ..config import Settings
from ..errors import ChannelError
from ..store.deliveries import Due, claim_due, note_dead, note_retry, note_sent
from ..store.session import Database
from ..telemetry import ALERT_DELIVERIES, get_logger
from ..vault import Vault

AT_ONCE = 8  # so that one slow receiver does not keep the others waiting
MESSAGES_MAX = 200  # of one run; beat asks again every 5 s
LEASE_S = 60.0  # far longer than a channel takes
RETRY_FIRST_S = 10.0
RETRY_MAX_S = 3600.0
TRIES_MAX = 15  # some 8 hours

log = get_logger(__name__)


def deliver_messages(
    database: Database, settings: Settings, *, clock: Callable[[], datetime]
) -> int:
    """Send what is due; returns how many messages were taken.

    A message may reach its channel twice if whoever sends it dies before noting that; its id is
    the same both times.

    Raises:
        StoreUnavailable: Postgres cannot be reached; what was sent and not noted is sent again.
    """
    with database.unrestricted_unsafe() as session:
        due = claim_due(session, now=clock(), lease_s=LEASE_S, limit=MESSAGES_MAX)
    if not due:
        return 0

    vault = Vault(settings.credential_keys)

    def deliver(one: Due) -> bool:
        return _deliver(database, settings, vault, one, clock)

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="opsledger-notify") as pool:
        return sum(pool.map(deliver, due))


def _deliver(
    database: Database, settings: Settings, vault: Vault, due: Due, clock: Callable[[], datetime]
) -> bool:
    try:
        answer = _send(settings, vault, due)
    except ChannelError as error:
        if not error.permanent and due.attempts < TRIES_MAX:
            pause_s = min(RETRY_FIRST_S * 2 ** (due.attempts - 1), RETRY_MAX_S)
            with database.unrestricted_unsafe() as session:
                note_retry(session, due, error.detail, clock() + timedelta(seconds=pause_s))
            ALERT_DELIVERIES.labels("failed").inc()
            return False
        with database.unrestricted_unsafe() as session:
            note_dead(session, due, error.detail)
        ALERT_DELIVERIES.labels("dead").inc()
        log.exception("notification given up", delivery=str(due.id))
        return False
    with database.unrestricted_unsafe() as session:
        note_sent(session, due, answer)
    ALERT_DELIVERIES.labels("sent").inc()
    return True


def _send(settings: Settings, vault: Vault, due: Due) -> str:
    target = due.target
    if target is None:
        raise ChannelError("The channel was deleted", permanent=True)
    message = Message(
        id=due.id,
        tenant=target.slug,
        event=due.event,
        created_at=due.created_at,
        payload=due.payload,
    )
    kept = Kept(target.target, target.credentials, target.secret)
    leads, secret = open_target(vault, due.tenant_id, due.channel_id, kept)
    return send(target.kind, leads, secret, message, settings)
