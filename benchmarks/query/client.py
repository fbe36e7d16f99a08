"""A client that asks one thing after the other, on one connection."""

import http.client
import time

KEY = "test-api-key-12345"
WARM_UP = 3


class Client:
    """Asks a web process of this machine with the demo key."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def times(self, paths: list[str], rounds: int) -> list[float]:
        """Milliseconds of so many calls, the paths in turn, once both processes are warm."""
        for number in range(WARM_UP):
            self._get(paths[number % len(paths)])
        return [self._get(paths[number % len(paths)]) for number in range(rounds)]

    def _get(self, path: str) -> float:
        started = time.perf_counter()
        self._connection.request("GET", path, headers={"X-API-Key": KEY})
        answer = self._connection.getresponse()
        answer.read()
        took = (time.perf_counter() - started) * 1000
        if answer.status not in (200, 404):
            raise RuntimeError(f"{path} answered {answer.status}")
        return took
