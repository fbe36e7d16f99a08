"""Valkey as the benchmarks break it and look into it."""

from contextlib import suppress

import redis

from app.dev import EmbeddedBroker
from app.dev.broker import connect, count_consumers


class Valkey(EmbeddedBroker):
    """The broker of `make run`."""

    @property
    def env(self) -> dict[str, str]:
        """The settings that lead here."""
        return {"REDIS_URL": self.url, "OPSLEDGER_BROKER_URL": ""}

    def consumers(self) -> int:
        """How many workers wait for tasks."""
        return count_consumers(self.url) or 0

    def is_busy(self) -> bool:
        """Whether a worker holds a shipment; no, if it cannot be asked."""
        with suppress(redis.RedisError), connect(self.url) as client:
            return bool(client.hlen("unacked"))
        return False

    def forget(self) -> None:
        """Lose everything it holds."""
        with connect(self.url) as client:
            client.flushall()
