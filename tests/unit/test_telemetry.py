"""The log: no line says a secret, whoever writes it."""

import io
import logging
from collections.abc import Iterator

import pytest

from app.telemetry import SERVER_LOGGER, configure_logging, get_logger

SECRET = "sk_live_pl4ntedpl4ntedpl4nted"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What the service prints."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    configure_logging("INFO")
    yield written
    logging.getLogger(SERVER_LOGGER).filters.clear()
    root.handlers[:] = before
    root.setLevel(level)


@pytest.mark.parametrize("name", ["sqlalchemy.engine", SERVER_LOGGER])
def test_a_librarys_line_and_its_traceback_are_masked(lines: io.StringIO, name: str) -> None:
    """With what was to be put into the line, and the exception's text and cause."""
    try:
        try:
            raise ValueError(f"password={SECRET}")
        except ValueError as error:
            raise RuntimeError(f"Bearer {SECRET}") from error
    except RuntimeError:
        logging.getLogger(name).exception("Error handling request %s", f"/x?token={SECRET}")
    said = lines.getvalue()
    assert SECRET not in said
    assert "Error handling request /x?token=[redacted: " in said
    assert "RuntimeError: Bearer [redacted: " in said
    assert "ValueError: password=[redacted: " in said


def test_a_line_of_ours_is_masked_once_and_stays_json(lines: io.StringIO) -> None:
    """Texts and exceptions."""
    get_logger("app.x").error("lost", reason=f"Bearer {SECRET}", error=ValueError(SECRET))
    said = lines.getvalue()
    assert SECRET not in said
    assert '"reason": "Bearer [redacted: stripe_key]"' in said
    assert "ValueError('[redacted: stripe_key]')" in said
