"""The broker that a URL names, and what each kind of it needs: Valkey or Redis, alone or behind
Sentinel, and RabbitMQ.
"""

import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import redis
from kombu import Connection
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from . import rabbitmq
from .config import Settings
from .setting_types import RABBITMQ_SCHEMES

VISIBILITY_TIMEOUT_S = 60  # a killed worker's message is delivered again after this
HEALTH_CHECK_S = 5  # Valkey that owes a waiting worker an answer for so long is given up
SENTINEL_PORT = 26379


@dataclass(frozen=True, slots=True)
class Broker:
    """Where messages wait.

    Args:
        url: of redis, rediss, amqp or amqps; those of sentinel and of RabbitMQ's nodes may be
            several, parted by semicolons.
        sentinel_master: what the Sentinels call the master.
        sentinel_password: of the Sentinels themselves, if they have one.
    """

    url: str
    sentinel_master: str = ""
    sentinel_password: str = ""

    @property
    def scheme(self) -> str:
        """The first word of the URL."""
        return urlsplit(self.url).scheme

    @property
    def is_rabbitmq(self) -> bool:
        """Whether messages carry their shipment, since there is no other place for it."""
        return self.scheme in RABBITMQ_SCHEMES

    @property
    def queue_arguments(self) -> dict[str, Any] | None:
        """What queues are declared with."""
        return rabbitmq.QUEUE_ARGUMENTS if self.is_rabbitmq else None

    @property
    def tls(self) -> dict[str, Any] | None:
        """Settings of an encrypted connection, which kombu would not verify if left alone."""
        if self.scheme == "rediss":
            return {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True}
        if self.scheme == "amqps":  # no name: kombu takes that of the URL
            return {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None}
        return None

    def transport_options(self, timeout_s: float) -> dict[str, Any]:
        """Options of kombu's transport for waits of at most `timeout_s` seconds each."""
        if self.is_rabbitmq:
            return {"confirm_publish": True}
        options = {**_socket_options(timeout_s), "visibility_timeout": VISIBILITY_TIMEOUT_S}
        if self.scheme == "sentinel":
            options["master_name"] = self.sentinel_master
            options["sentinel_kwargs"] = self._sentinel_options(timeout_s)
        return {**options, "max_retries": 0}

    def answers(self, timeout_s: float = 1.0) -> bool:
        """Whether it can be reached, each step within `timeout_s` seconds."""
        return self.waiting((), timeout_s) is not None

    def waiting(self, names: Iterable[str], timeout_s: float = 1.0) -> dict[str, int] | None:
        """How many messages wait in each of these queues that exists; None if it is away."""
        link = Connection(
            self.url,
            transport_options=self.transport_options(timeout_s),
            connect_timeout=timeout_s,
            ssl=self.tls or False,
        )
        try:
            if self.is_rabbitmq:
                rabbitmq.connect(link, timeout_s)
            else:
                # Not the default interval: two seconds of sleep are too long for a health check.
                link.ensure_connection(max_retries=1, interval_start=0)
                link.default_channel  # noqa: B018 - opening a channel speaks with the broker
            return dict(_lengths(link, names))
        except (OperationalError, *link.connection_errors, *link.channel_errors):  # type: ignore[misc]
            return None
        finally:
            link.collect() if self.is_rabbitmq else link.release()  # one sends no farewell

    def open_store(self, timeout_s: float) -> redis.Redis | None:
        """A client of Valkey or Redis, for keys beside the queues; None for RabbitMQ."""
        if self.is_rabbitmq:
            return None
        options = {**_socket_options(timeout_s), "retry": Retry(NoBackoff(), 0)}
        if self.scheme == "sentinel":
            return self._open_master(timeout_s, options)
        return redis.Redis.from_url(self.url, **options)

    def _open_master(self, timeout_s: float, options: Mapping[str, Any]) -> redis.Redis:
        """A client that asks the Sentinels anew whenever it connects."""
        servers = [urlsplit(url) for url in self.url.split(";")]
        sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]
            [(server.hostname, server.port or SENTINEL_PORT) for server in servers],
            sentinel_kwargs=self._sentinel_options(timeout_s),
        )
        # As kombu reads them, who finds the queues: credentials and number of the first URL.
        found = Connection(self.url.partition(";")[0])
        master: redis.Redis = sentinel.master_for(
            self.sentinel_master,
            username=found.userid,
            password=found.password,
            db=int(found.virtual_host.strip("/") or 0),
            **options,
        )
        return master

    def _sentinel_options(self, timeout_s: float) -> dict[str, Any]:
        password = {"password": self.sentinel_password} if self.sentinel_password else {}
        return {**_socket_options(timeout_s), **password, "retry": Retry(NoBackoff(), 0)}


def broker_of(settings: Settings) -> Broker:
    """The broker of the settings: its own URL, or that of Valkey."""
    return Broker(
        settings.broker_url or settings.redis_url,
        settings.sentinel_master,
        settings.sentinel_password,
    )


def _lengths(link: Connection, names: Iterable[str]) -> Iterator[tuple[str, int]]:
    for name in names:
        # One of its own: RabbitMQ closes it if there is no such queue.
        channel: Any = link.channel()
        with suppress(*link.channel_errors):
            yield name, int(channel.queue_declare(name, passive=True).message_count)
            channel.close()


def _socket_options(timeout_s: float) -> dict[str, Any]:
    return {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "socket_keepalive": True,
    }
