"""The hundred services of the apprise library, each by its URL: slack://…, pagerduty://…

The library connects by itself, and follows redirects; so each connection is judged as it is made,
by the address it goes to, whatever a name resolved to before. What would act on this machine is
refused. It is imported at the first message: it is large, and most processes send none.
"""

import logging
from typing import Any

from ..config import Settings
from ..errors import ChannelError
from ..outbound import DestinationRefused, connect, destinations_of, guarding
from ..telemetry import get_logger
from .message import Message

URL_CHARS_MAX = 2000
CONNECT_S = 3.0  # to see where the host leads
# Schemes that show something on this machine's screen, write to its log, or run a program.
LOCAL = frozenset(
    {"dbus", "glib", "kde", "qt", "gnome", "macosx", "windows", "syslog", "rsyslog", "memory"}
)

log = get_logger(__name__)


def check_apprise(target: str, settings: Settings) -> str:
    """Refuse what the library does not know, and what leads to this machine or its network."""
    service = _service(target)
    if target.partition("://")[0].lower() in LOCAL:
        raise ChannelError("This service acts on the machine itself", permanent=True)
    host = getattr(service, "host", None)
    if host and "host" in service.template_tokens:
        _judge(str(host), int(getattr(service, "port", None) or 443), settings)
    return f"{target.partition('://')[0]}://…"


def send_apprise(target: str, _: str | None, message: Message, settings: Settings) -> str:
    """Send a message by the service of the URL."""
    check_apprise(target, settings)
    service = _service(target)
    said = _Said()
    logger = logging.getLogger("apprise")
    logger.addHandler(said)
    try:
        with guarding(destinations_of(settings)):
            taken = service.notify(body=message.text, title=message.title)
    except DestinationRefused as error:
        raise ChannelError(error.detail, permanent=True) from error
    except Exception as error:
        raise ChannelError(f"The service failed: {error!r}", permanent=False) from error
    finally:
        logger.removeHandler(said)
    if not taken:
        raise ChannelError(said.last or "The service did not take it", permanent=False)
    return "taken by the service"


def _judge(host: str, port: int, settings: Settings) -> None:
    try:
        connect(host, port, destinations_of(settings), timeout_s=CONNECT_S).close()
    except DestinationRefused as error:
        raise ChannelError(error.detail, permanent=True) from error
    except OSError:  # it may be away; that is the business of sending
        log.info("host of a channel does not answer", host=host)


def _service(target: str) -> Any:
    from apprise import Apprise

    known = len(target) <= URL_CHARS_MAX and "://" in target
    service = Apprise.instantiate(target, suppress_exceptions=True) if known else None
    if service is None:
        raise ChannelError("This is not a URL that apprise knows", permanent=True)
    return service


class _Said(logging.Handler):
    """Keeps the last warning of the library, which has no other way of saying why."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.last = record.getMessage()
