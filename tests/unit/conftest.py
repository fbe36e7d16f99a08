"""Fixtures of the unit tests."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.capture import recorder
from app.config import Settings
from app.pipeline import shipper as pace
from app.pipeline.shipper import Shipper
from app.spool import Spool
from tests.support.host import Host, add_views
from tests.support.samples import open_spool
from tests.support.shipping import Backend, Open


@pytest.fixture
def open_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Host]]:
    """Makes a host application that captures one action at /call/<name>, one audit at /change."""
    monkeypatch.setattr(recorder, "_process_recorder", None)
    hosts: list[Host] = []

    def make(settings: dict[str, Any] | None = None, **values: Any) -> Host:
        host = Host(tmp_path, settings or {}, values)
        add_views(host)
        hosts.append(host)
        return host

    yield make
    for host in hosts:
        host.stop()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Milliseconds where the shipper of production waits for seconds."""
    for name, seconds in {
        "CONFIRM_INTERVAL_S": 0.001,
        "BACKOFF_FIRST_S": 0.005,
        "BACKOFF_MAX_S": 0.02,
    }.items():
        monkeypatch.setattr(pace, name, seconds)


@pytest.fixture
def backend() -> Backend:
    """Everything behind the shipper, in order."""
    return Backend()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """A spool to ship."""
    spool = open_spool(tmp_path)
    yield spool
    spool.close()


@pytest.fixture
def open_shipper(spool: Spool, backend: Backend) -> Iterator[Open]:
    """Makes shippers of the spool into the backend; they are stopped at the end."""
    made: list[Shipper] = []

    def make(**values: float) -> Shipper:
        usual = {"flush_interval_ms": 1, "flush_pause_ms": 1, "confirm_timeout_s": 0.05}
        shipper = Shipper(
            spool,
            publish=backend.publish,
            confirmed=backend.confirmed,
            learn=backend.learn,
            settings=Settings(**{**usual, "batch_rows_max": 10, **values}),
        )
        made.append(shipper)
        return shipper

    yield make
    for shipper in made:
        shipper.stop(grace_s=0)
