"""The load: threads that call the API as clients do and note what they were told.

Invariant: an id is noted as accepted if and only if its request was answered with 2xx.
"""

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import requests
from uuid_utils.compat import uuid7

from benchmarks.support import payload

THREADS = 8
ANSWER_SECONDS_MAX = 15.0  # a frozen server costs 5 s, and its thaw a little more
INGEST_EVERY = 5  # every fifth request of a thread is a batch
BATCH_ROWS = 40
RETRIES_MAX = 1_000  # batches waiting to be sent again, of one thread
HEADERS = {
    "X-API-Key": "test-api-key-12345",
    # A connection each: one kept alive may be closed by gunicorn just as the client uses it.
    "Connection": "close",
}
CRM, INGEST = "/api/v1/crm/contacts", "/api/v1/ingest/actions"
STATISTICS = "/api/v1/logs/stats"
PROVIDER = "chaos"  # of what comes by ingest


@dataclass(frozen=True, slots=True)
class Call:
    """One request: to where, from when to when (monotonic), and what was wrong, if anything."""

    path: str
    started: float
    ended: float
    error: str


@dataclass
class Tally:
    """What all threads were told."""

    calls: list[Call] = field(default_factory=list)
    contacts: list[str] = field(default_factory=list)
    ingested: set[str] = field(default_factory=set)


class Load:
    """Clients that call until they are stopped.

    Args:
        ports: of the web programs, called in turn.
        rate: requests a second, of all threads together.
    """

    def __init__(self, ports: list[int], rate: float) -> None:
        self.tally = Tally()
        self.ingest = self._has_ingest(ports[0])
        self._ports = ports
        self._interval_s = THREADS / rate
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._call_on, args=(number,), daemon=True)
            for number in range(THREADS)
        ]

    def start(self) -> None:
        """Start calling."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop calling; returns when the last answer is there."""
        self._stopping.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(2 * ANSWER_SECONDS_MAX)

    def statistics(self) -> dict[str, Any]:
        """What the API says all action records add up to.

        Raises:
            requests.RequestException: it does not say.
        """
        with requests.Session() as session:
            session.trust_env = False
            session.headers.update(HEADERS)
            url = f"http://127.0.0.1:{self._ports[0]}{STATISTICS}"
            answer = session.get(url, timeout=ANSWER_SECONDS_MAX)
        answer.raise_for_status()
        told: dict[str, Any] = answer.json()
        return told

    def _call_on(self, number: int) -> None:
        session = requests.Session()
        session.trust_env = False
        session.headers.update(HEADERS)
        unsure: deque[list[dict[str, Any]]] = deque(maxlen=RETRIES_MAX)
        due = time.monotonic() + self._interval_s * number / THREADS
        turn = number
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            # Late after an outage, it goes on at its pace instead of catching up.
            due = max(due + self._interval_s, time.monotonic())
            turn += 1
            base = f"http://127.0.0.1:{self._ports[turn % len(self._ports)]}"
            if self.ingest and turn % INGEST_EVERY == 0:
                batch = unsure.popleft() if unsure else _batch()
                if not self._ingest(session, base, batch):
                    unsure.append(batch)  # the same ids again: harmless if they had arrived
            else:
                self._create(session, base)

    def _create(self, session: requests.Session, base: str) -> None:
        answer = self._post(session, base, CRM, _contact())
        if answer is not None:
            self.tally.contacts.append(answer["id"])

    def _ingest(self, session: requests.Session, base: str, batch: list[dict[str, Any]]) -> bool:
        answer = self._post(session, base, INGEST, batch)
        if answer is None:
            return False
        refused = {item["index"] for item in answer.get("rejected", [])}
        ids = {item["id"] for index, item in enumerate(batch) if index not in refused}
        self.tally.ingested.update(ids)
        return True

    def _post(self, session: requests.Session, base: str, path: str, body: Any) -> Any:
        started = time.monotonic()
        try:
            response = session.post(base + path, json=body, timeout=ANSWER_SECONDS_MAX)
            answer = response.json() if response.ok else None
            error = "" if response.ok else f"{response.status_code} {response.text[:200]}"
        except (requests.RequestException, ValueError) as problem:
            answer, error = None, repr(problem)[:200]
        self.tally.calls.append(Call(path, started, time.monotonic(), error))
        return answer

    def _has_ingest(self, port: int) -> bool:
        """Whether the service takes batches, shown by taking one."""
        batch = _batch()
        with requests.Session() as session:
            session.trust_env = False
            session.headers.update(HEADERS)
            url = f"http://127.0.0.1:{port}{INGEST}"
            answer = session.post(url, json=batch, timeout=ANSWER_SECONDS_MAX)
        if answer.ok:
            self.tally.ingested.update(item["id"] for item in batch)
        return answer.ok


def _contact() -> dict[str, Any]:
    """A new contact."""
    body = payload(400)
    return {
        "email": body["email"],
        "first_name": "Jane",
        "last_name": "Doe",
        "properties": body["properties"],
    }


def _batch() -> list[dict[str, Any]]:
    return [
        {
            "id": str(uuid7()),
            "action_type": "crm_get",
            "provider_name": PROVIDER,
            "request_payload": {"number": number},
            "status": "success",
            "execution_time_ms": number,
        }
        for number in range(BATCH_ROWS)
    ]
