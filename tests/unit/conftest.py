"""Fixtures of the unit tests."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.capture import recorder as module
from tests.support.host import Host, add_views


@pytest.fixture
def open_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Host]]:
    """Makes a host application that captures one action at /call/<name>, one audit at /change."""
    monkeypatch.setattr(module, "_process_recorder", None)
    hosts: list[Host] = []

    def make(settings: dict[str, Any] | None = None, **values: Any) -> Host:
        host = Host(tmp_path, settings or {}, values)
        add_views(host)
        hosts.append(host)
        return host

    yield make
    for host in hosts:
        host.stop()
