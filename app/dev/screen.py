"""What the person in front of `make run` sees: short aligned lines. Invariant: writing never
fails, even when the terminal is gone, since the processes still have to be stopped then.
"""

import os
import sys
import time
from contextlib import suppress
from typing import TextIO

NAME_WIDTH = 10
TEXT_CHARACTERS_MAX = 300
COLOURS = {"good": "32", "bad": "31", "faint": "2", "name": "36"}


class Screen:
    """A terminal, or whatever stands in its place, with the time since the start."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._coloured = self._stream.isatty() and "NO_COLOR" not in os.environ
        self._started_at = time.monotonic()

    def step(self, name: str, text: str) -> None:
        """Say what has been reached, and after how many seconds."""
        seconds = f"{time.monotonic() - self._started_at:5.1f} s"
        self._write(f"{self._paint(seconds, 'faint')}  {self._named(name)} {text}")

    def note(self, name: str, text: str, *, bad: bool = False) -> None:
        """Say what a process did or wrote."""
        text = text[:TEXT_CHARACTERS_MAX]
        self._write(f"{self._named(name)} {self._paint(text, 'bad') if bad else text}")

    def block(self, text: str) -> None:
        """Show some lines as they are."""
        self._write(text)

    def _named(self, name: str) -> str:
        return self._paint(name.ljust(NAME_WIDTH), "name")

    def _paint(self, text: str, colour: str) -> str:
        return f"\033[{COLOURS[colour]}m{text}\033[0m" if self._coloured else text

    def _write(self, text: str) -> None:
        # The reader may be gone (a closed window, `| head`): then nobody is left to tell.
        with suppress(OSError, ValueError):
            print(text, file=self._stream, flush=True)
