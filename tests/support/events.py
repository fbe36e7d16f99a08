"""Clients of the live stream: they read server-sent events, or listen at a WebSocket, and come back
by the last id.
"""

import json
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

import requests

from tests.support.websocket import messages, open_websocket

PAUSE_S = 0.2  # before it comes back


def read_events(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Events with their name, id and data, as a browser reads them."""
    event: dict[str, Any] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if not line and "data" in event:
            yield {**event, "data": json.loads(event["data"])}
        if not line:
            event = {}
        elif name in ("event", "id", "data"):
            event[name] = value


class Follower:
    """Follows a stream in a thread of its own until it is stopped, however often it is cut off."""

    def __init__(self, url: str, secret: str, **asked: str) -> None:
        self.url, self.asked = url, asked
        self.headers = {"X-API-Key": secret}
        self.records: list[dict[str, Any]] = []
        self.arrived: dict[str, float] = {}
        self.ended: dict[str, Any] | None = None
        self.connections = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Follow no more."""
        self._stopped.set()

    def _follow(self) -> None:
        while not self._stopped.is_set() and self.ended is None:
            with suppress(requests.RequestException):
                self._read()
            time.sleep(PAUSE_S)

    def _read(self) -> None:
        answer = requests.get(
            self.url, headers=self.headers, params=self.asked, stream=True, timeout=10
        )
        with answer:
            if not answer.ok:
                return
            self.connections += 1
            for event in read_events(answer.iter_lines(chunk_size=1, decode_unicode=True)):
                if self._takes_last(event):
                    return

    def _takes_last(self, event: dict[str, Any]) -> bool:
        """Take an event; whether it is the last one to take."""
        if event.get("event") == "ended":
            self.ended = event
            return True
        now = time.time()
        self.records += event["data"]
        self.arrived.update(dict.fromkeys((r["id"] for r in event["data"]), now))
        self.headers["Last-Event-ID"] = event["id"]
        return self._stopped.is_set()


class Listener(Follower):
    """Follows a stream over a WebSocket."""

    def _read(self) -> None:
        place = self.headers.get("Last-Event-ID")
        query = urlencode({**self.asked, **({"after": place} if place else {})})
        key = {"X-API-Key": self.headers["X-API-Key"]}
        with suppress(OSError), open_websocket(f"{self.url}?{query}", key) as (sock, protocol):
            self.connections += 1
            for event in messages(sock, protocol):
                if self._takes_last(event):
                    return
