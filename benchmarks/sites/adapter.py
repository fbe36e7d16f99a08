"""Our own service, with and without capture: what its adapter costs, and what records add."""

import os
from typing import Any

import flask

from app import extension, factory
from app.providers import operation


def create() -> flask.Flask:
    """The service; without capture where SITE says so: no hooks, and no record of any operation."""
    if os.environ["SITE"] == "without":
        extension.install_hooks = _nothing  # type: ignore[attr-defined]
        operation.log_action = _nothing  # type: ignore[attr-defined]
    return factory.create_app()


def _nothing(*_: Any, **__: Any) -> Any:
    return None
