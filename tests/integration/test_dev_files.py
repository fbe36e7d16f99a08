"""Files of the development stack: Procfile, passwords, locks, logs."""

from pathlib import Path

import pytest

from app.dev import binaries, files
from app.dev.errors import AlreadyRunning, BinaryMissing, ProcfileInvalid
from app.dev.locks import DirectoryLock
from app.dev.logs import LogFollower
from app.dev.procfile import read_procfile


def test_only_the_processes_asked_for_are_read_from_the_procfile(tmp_path: Path) -> None:
    """Others, comments and blank lines are left out."""
    path = tmp_path / "Procfile"
    path.write_text(
        "# production\nweb: gunicorn -b :${PORT} wsgi\n\nstream: x\nbeat:  celery beat \n"
    )
    assert read_procfile(path, ["beat", "web"]) == {
        "beat": "celery beat",
        "web": "gunicorn -b :${PORT} wsgi",
    }


def test_a_process_missing_from_the_procfile_is_named(tmp_path: Path) -> None:
    """Also when there is no Procfile at all."""
    with pytest.raises(ProcfileInvalid, match="Procfile has no line for worker"):
        read_procfile(tmp_path / "Procfile", ["worker"])


def test_passwords_are_private_and_stay_the_same(tmp_path: Path) -> None:
    """A name added later gets one without changing the others."""
    path = tmp_path / "passwords.json"
    first = files.keep_passwords(path, ["a"])
    both = files.keep_passwords(path, ["a", "b"])
    assert both["a"] == first["a"] != both["b"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_claimed_directory_names_its_claimant(tmp_path: Path) -> None:
    """And is free again after release."""
    first, second = DirectoryLock(tmp_path), DirectoryLock(tmp_path)
    first.acquire()
    first.acquire()
    with pytest.raises(AlreadyRunning, match=r"in use by process \d+"):
        second.acquire()
    first.release()
    second.acquire()
    assert second.held
    second.release()


def test_a_follower_returns_each_serious_whole_line_once(tmp_path: Path) -> None:
    """What was there before it began, ordinary lines and half a line are not shown."""
    path = tmp_path / "x.log"
    path.write_text("ERROR: old\n")
    follower = LogFollower(path)
    with path.open("a") as log:
        log.write("ERROR: new\nfine\nWARNING: ha")
    assert follower.warnings() == ["ERROR: new"]
    with path.open("a") as log:
        log.write("lf\nERROR: skipped\n")
    assert follower.warnings() == ["WARNING: half", "ERROR: skipped"]
    assert follower.warnings() == []


def test_a_log_past_its_bound_starts_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it held is kept once, and what its writer appends next is seen."""
    monkeypatch.setattr(files, "LOG_BYTES_MAX", 100)
    path = tmp_path / "x.log"
    follower = LogFollower(path)
    with path.open("a") as log:
        log.write("x" * 150 + "\n")
        log.flush()
        assert follower.warnings() == []
        assert files.size_of(path) == 0
        log.write("ERROR: after\n")
        log.flush()
        assert follower.warnings() == ["ERROR: after"]
    assert (tmp_path / "x.log.1").stat().st_size == 151


def test_without_the_wheels_the_system_serves_else_the_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker's program is looked for on the PATH."""
    monkeypatch.setattr(binaries, "_package_directory", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BinaryMissing, match=r"install valkey or redis .* set REDIS_URL"):
        binaries.find_broker()
    for program in ("redis-server", "postgres", "initdb"):
        (tmp_path / program).write_text("#!/bin/sh\n")
        (tmp_path / program).chmod(0o755)
    assert binaries.find_broker() == tmp_path / "redis-server"
    assert binaries.find_postgres() == tmp_path
