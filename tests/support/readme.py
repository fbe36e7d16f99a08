"""The README as a script: its code blocks by heading, and a shell that runs them."""

import os
import re
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
MARK = "@@ end of block"


@dataclass(frozen=True)
class Block:
    """One fenced block: under which heading, in which language, and its text."""

    heading: str
    language: str
    text: str


def readme_blocks() -> list[Block]:
    """Every fenced block with a language, in order."""
    blocks = []
    for section in re.split(r"^## ", (ROOT / "README.md").read_text(), flags=re.MULTILINE):
        heading, _, text = section.partition("\n")
        blocks += [Block(heading, *found) for found in BLOCK.findall(text)]
    return blocks


def blocks_of(heading: str, language: str) -> list[str]:
    """The texts of the blocks under a heading."""
    found = [b.text for b in readme_blocks() if (b.heading, b.language) == (heading, language)]
    assert found, f"README has no {language} block under {heading!r}"
    return found


def run_blocks(blocks: list[str], *, cwd: Path, env: dict[str, str], timeout_s: float) -> list[str]:
    """Run blocks in one bash, as a reader pastes them; returns what each printed.

    Jobs left in the background are ended with the shell.
    """
    script = "set -eu -o pipefail\n" + f"\necho; echo '{MARK}'\n".join([*blocks, ""])
    shell = subprocess.Popen(
        ["bash", "-c", script],
        cwd=cwd,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output, _ = shell.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(shell.pid, signal.SIGTERM)
        output, _ = shell.communicate(timeout=30)
        raise AssertionError(f"README did not end in {timeout_s} s:\n{output}") from None
    assert shell.returncode == 0, f"README failed with {shell.returncode}:\n{output}"
    return output.split(MARK)[:-1]


def copy_checkout(target: Path) -> Path:
    """What git has or would take, as a fresh clone; virtual environment shared to save time."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        source = ROOT / name
        if source.exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes(source.read_bytes())
            os.utime(target / name, (source.stat().st_atime, source.stat().st_mtime))
            (target / name).chmod(source.stat().st_mode)
    return target
