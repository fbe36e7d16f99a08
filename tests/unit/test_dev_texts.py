"""What people read: error sentences, lines on the screen, the log lines that are shown."""

import io

import pytest

from app.dev.errors import AlreadyRunning, PortTaken
from app.dev.logs import SERIOUS
from app.dev.screen import Screen


def test_an_error_is_its_docstring_with_the_facts_filled_in_on_one_line() -> None:
    """Line breaks of the source do not show."""
    assert str(AlreadyRunning(directory="/d", pid=7)) == (
        "/d is already in use by process 7; stop that one first (Ctrl-C in its shell)."
    )
    assert "PORT=8001" in str(PortTaken(port=8000, other=8001))


@pytest.mark.parametrize(
    "line",
    [
        "2026-01-01 UTC [12] web@db ERROR:  duplicate key",
        "[2026-01-01: WARNING/MainProcess] slow",
        '{"event": "x", "level": "error"}',
        "2026-01-01 [warning  ] broker is away",
    ],
)
def test_warnings_and_errors_of_all_our_processes_are_recognised(line: str) -> None:
    """Postgres, Celery, and structured logs in both forms."""
    assert SERIOUS.search(line)


@pytest.mark.parametrize("line", ['{"level": "info"}', "LOG:  ready", "0 errors", "GET /errors"])
def test_ordinary_lines_stay_in_the_file(line: str) -> None:
    """The word alone does not make a warning."""
    assert not SERIOUS.search(line)


def test_the_screen_aligns_names_and_cuts_long_lines() -> None:
    """No colours where there is no terminal."""
    stream = io.StringIO()
    screen = Screen(stream)
    screen.note("web", "x" * 1000)
    screen.step("postgres", "ready")
    first, second = stream.getvalue().splitlines()
    assert first == "web        " + "x" * 300
    assert second.endswith(" s  postgres   ready")


def test_writing_to_a_closed_screen_is_no_error() -> None:
    """The processes still have to be stopped when the terminal is gone."""
    stream = io.StringIO()
    screen = Screen(stream)
    stream.close()
    screen.note("web", "stopping")
