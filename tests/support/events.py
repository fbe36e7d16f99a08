"""A client of the live stream: it reads server-sent events and comes back by the last id."""

import json
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import requests

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
                if event.get("event") == "ended":
                    self.ended = event
                    return
                now = time.time()
                self.records += event["data"]
                self.arrived.update(dict.fromkeys((r["id"] for r in event["data"]), now))
                self.headers["Last-Event-ID"] = event["id"]
                if self._stopped.is_set():
                    return
