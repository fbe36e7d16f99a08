"""Syslog (RFC 5424) over TCP (RFC 6587, octet counting) and TLS (RFC 5425)."""

import fcntl
import socket
import ssl
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..config import Settings
from ..domain.forwarding import Outgoing
from ..domain.identity import format_time
from ..errors import SinkError
from ..outbound import DestinationRefused, connect, destinations_of
from .protocol import MIB, TLS_ASKED, Account, Asked, Receipt, SinkKind, tls_context

ROWS_MAX = 1000
BYTES_MAX = 4 * MIB
TIMEOUT_S = 10.0  # of connecting, and of one batch
HANG_UP_S = 5.0  # in which a receiver hangs up once we did
LOOK_S = 0.002
FACILITY = 13  # "log audit"
ERROR, INFORMATIONAL = 3, 6
DOCUMENTATION_ENTERPRISE = 32473  # RFC 5612: for those without a number of their own
_ESCAPED = str.maketrans({"\\": "\\\\", '"': '\\"', "]": "\\]"})


class SyslogSink:
    """Sends each batch over a connection of its own.

    Syslog has no receipts, but hanging up is one: who closes a connection with bytes unread resets
    it. So a batch counts as taken when the other system has confirmed its last byte, and the
    receiver has hung up after us without a reset.
    """

    rows_max = ROWS_MAX
    bytes_max = BYTES_MAX

    def __init__(self, account: Account) -> None:
        values = account.values
        self._address = (values["host"], values["port"])
        self._destinations = destinations_of(account.settings)
        self._tls = tls_context(values, account.secrets) if values["tls"] else None
        self._header = f"{_printable(values['hostname'], 255)} {_printable(values['app_name'], 48)}"
        self._enterprise = values["enterprise_id"]
        self.record_bytes_max = values["message_bytes_max"]

    def deliver(self, records: Sequence[Outgoing]) -> Receipt:
        """Send one batch."""
        frames = {record.id: self._frame(record) for record in records}
        large = {
            record_id: f"its message has {len(frame)} bytes, more than {self.record_bytes_max}"
            for record_id, frame in frames.items()
            if len(frame) > self.record_bytes_max
        }
        sent = b"".join(
            b"%d %b" % (len(frame), frame)
            for record_id, frame in frames.items()
            if record_id not in large
        )
        if sent:
            self._send(sent)
        return Receipt(refused=large, words=f"{len(sent)} bytes taken")

    def close(self) -> None:
        """Nothing stays open."""

    def _send(self, sent: bytes) -> None:
        link = self._connect()
        try:
            link.sendall(sent)
            _confirm(link, time.monotonic() + TIMEOUT_S)
            _hang_up(link)
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
            raise SinkError(f"It hung up: {error.reason or error}", unsure=True) from error
        except ssl.SSLError as error:
            raise SinkError(f"TLS: {error.reason or error}", denied=True) from error
        except OSError as error:
            raise SinkError(f"Not sent: {error}", unsure=True) from error
        finally:
            link.close()

    def _connect(self) -> socket.socket:
        plain = self._tls is None
        try:
            link = connect(*self._address, self._destinations, timeout_s=TIMEOUT_S, plain=plain)
            if self._tls is None:
                return link
            try:
                return self._tls.wrap_socket(link, server_hostname=self._address[0])
            except BaseException:
                link.close()
                raise
        except DestinationRefused as error:
            raise SinkError(error.detail, denied=True) from error
        except ssl.SSLError as error:
            raise SinkError(f"TLS: {error.reason or error}", denied=True) from error
        except OSError as error:
            raise SinkError(f"Not sent: {error}") from error

    def _frame(self, record: Outgoing) -> bytes:
        failed = record.values.get("status") in {"failure", "timeout"}
        priority = FACILITY * 8 + (ERROR if failed else INFORMATIONAL)
        tenant = str(record.tenant_id)
        words = f'id="{record.id}" tenant="{tenant}" kind="{record.kind.value}"'
        for name in ("operation_id", "action_type", "action"):
            value = record.values.get(name)
            if value is not None:
                words += f' {name}="{str(value).translate(_ESCAPED)}"'
        head = (
            f"<{priority}>1 {format_time(record.created_at)} {self._header} -"
            f" {record.kind.value} [opsledger@{self._enterprise} {words}] "
        )
        return head.encode() + record.body


def _confirm(link: socket.socket, deadline: float) -> None:
    """Wait until the other system has confirmed all that was sent.

    Raises:
        TimeoutError: it has not.
    """
    while (left := _unconfirmed(link)) > 0:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{left} bytes were not confirmed in time")
        time.sleep(LOOK_S)


def _hang_up(link: socket.socket) -> None:
    """Hang up, and wait until the other side does, which has read everything then. One that keeps
    the connection has had its bytes confirmed, and that is all there is to know of it.

    Raises:
        OSError: it reset the connection, so it did not read everything.
        ssl.SSLError: it says why it would not.
    """
    link.settimeout(HANG_UP_S)
    try:
        if isinstance(link, ssl.SSLSocket):
            _say_goodbye(link)
        socket.socket.shutdown(link, socket.SHUT_WR)
        while socket.socket.recv(link, 4096):
            pass
    except TimeoutError:
        return


def _say_goodbye(link: ssl.SSLSocket) -> None:
    """End TLS, by which what it has to say of us comes, too; many just hang up then."""
    try:
        link.unwrap()
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
        return
    except ssl.SSLError as error:
        if "APPLICATION_DATA_AFTER_CLOSE_NOTIFY" not in str(error):
            raise
    except OSError as error:
        if error.errno:  # 0 is an end without a word
            raise


def _unconfirmed(link: socket.socket) -> int:
    """Bytes that the other system has not confirmed; 0 where this system does not tell."""
    try:
        told = fcntl.ioctl(link.fileno(), termios.TIOCOUTQ, b"\0" * 4)
    except OSError:
        return 0
    return int(struct.unpack("i", told)[0])


def _printable(text: str, chars_max: int) -> str:
    """A name as a header has it: ASCII without spaces, or nothing."""
    kept = "".join(char for char in text if "!" <= char <= "~")
    return kept[:chars_max] or "-"


def _check(values: Mapping[str, Any], secrets: Mapping[str, str], settings: Settings) -> None:
    if not values["tls"] and not settings.private_destinations:
        raise ValueError("plain TCP is for networks of OPSLEDGER_PRIVATE_DESTINATIONS; use tls")
    if values["tls"]:
        tls_context(values, secrets)


SYSLOG = SinkKind(
    name="syslog",
    words="RFC 5424 over TLS or TCP, a message of JSON for each record.",
    opener=SyslogSink,
    check=_check,
    asked=(
        Asked(name="host", words="Name or address.", required=True),
        Asked(name="port", words="6514 by default.", kind="whole", default=6514, low=1, high=65535),
        Asked(name="tls", words="Whether TLS is spoken.", kind="flag", default=True),
        Asked(name="hostname", words="HOSTNAME of each message.", default="opsledger"),
        Asked(name="app_name", words="APP-NAME of each message.", default="opsledger"),
        Asked(
            name="enterprise_id",
            words="Your private enterprise number, for the name of the structured data.",
            kind="whole",
            default=DOCUMENTATION_ENTERPRISE,
            low=1,
            high=2**31 - 1,
        ),
        Asked(
            name="message_bytes_max",
            words="What the receiver takes; a larger record becomes a dead letter.",
            kind="whole",
            default=65_536,
            low=480,
            high=BYTES_MAX,
        ),
        *TLS_ASKED,
    ),
)
