"""Damage: only what is damaged is left out, it is kept aside, and everybody is told."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from app.config import Settings
from app.domain.codec import encode
from app.factory import close_app, create_app
from app.spool import Spool, aside, count_records, verify
from app.spool.frames import CHECKSUM_SEED, FRAME_BYTES_MAX, FRAME_HEADER, find, pack
from tests.support.host import NOWHERE
from tests.support.samples import action, drain, events, metric, open_spool

PAYLOADS = [b"record %d %s" % (number, b"x" * number) for number in range(10)]
STARTS = [sum(FRAME_HEADER.size + len(p) for p in PAYLOADS[:n]) for n in range(11)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of a dead process."""
    dead = open_spool(tmp_path)
    for payload in PAYLOADS:
        dead.append(payload)
    dead.after_fork()
    (path,) = tmp_path.glob("*.seg")
    return path


def overwrite(path: Path, start: int, data: bytes) -> None:
    """Damage a file."""
    with path.open("r+b") as file:
        file.seek(start)
        file.write(data)


def heirs(path: Path) -> list[bytes]:
    """What the next process ships."""
    heir = open_spool(path.parent)
    assert heir.adopt() == 1
    payloads = drain(heir)
    assert not heir.pending
    heir.close()
    assert not path.exists()
    return payloads


def kept_aside(path: Path) -> list[bytes]:
    """The bytes that were set aside."""
    return [item.read_bytes() for item, _ in aside.list_aside(path.parent)]


@pytest.mark.parametrize("number", [0, 4, 8])
def test_only_the_damaged_record_is_left_out(
    path: Path, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Those before and behind it are shipped; it is set aside, counted and logged."""
    overwrite(path, STARTS[number] + FRAME_HEADER.size, b"?")
    frame = path.read_bytes()[STARTS[number] : STARTS[number + 1]]
    before = metric("opsledger_quarantined_total")
    assert heirs(path) == PAYLOADS[:number] + PAYLOADS[number + 1 :]
    assert kept_aside(path) == [frame]
    assert metric("opsledger_quarantined_total") == before + 1
    (event,) = events(caplog)
    assert (event["start"], event["end"]) == (STARTS[number], STARTS[number + 1])
    (left,) = path.parent.iterdir()
    assert left.suffix == ".damaged"
    assert left.stat().st_mode & 0o777 == 0o600


def test_several_places_are_left_out_each_for_itself(path: Path) -> None:
    """Also where two frames in a row are hit, and over a border of them."""
    overwrite(path, STARTS[2] + FRAME_HEADER.size, b"?")
    overwrite(path, STARTS[5] + FRAME_HEADER.size, b"?" * (STARTS[6] - STARTS[5]))
    assert heirs(path) == [*PAYLOADS[:2], *PAYLOADS[3:5], *PAYLOADS[7:]]
    assert len(kept_aside(path)) == 2


@pytest.mark.parametrize("length", [FRAME_BYTES_MAX - 8, FRAME_BYTES_MAX + 1, 2**32 - 1, 0, 3])
def test_a_length_that_lies_takes_no_other_record_along(path: Path, length: int) -> None:
    """Neither one past the file's end, which would look like a torn end, nor one too short."""
    overwrite(path, STARTS[3], FRAME_HEADER.pack(length, 7))
    assert heirs(path) == PAYLOADS[:3] + PAYLOADS[4:]


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_a_flipped_byte_anywhere_costs_one_record_and_invents_none(path: Path, mask: int) -> None:
    """And every byte is either shipped or set aside."""
    whole = path.read_bytes()
    for position in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[position] ^= mask
        path.write_bytes(damaged)
        hit = sum(start <= position for start in STARTS) - 1
        assert heirs(path) == PAYLOADS[:hit] + PAYLOADS[hit + 1 :]
        assert kept_aside(path) == [bytes(damaged[STARTS[hit] : STARTS[hit + 1]])]
        for item, _ in aside.list_aside(path.parent):
            item.unlink()


def test_zeros_are_no_records(path: Path) -> None:
    """A power failure may leave a file longer than what was written to it."""
    whole = path.read_bytes()
    path.write_bytes(whole + bytes(100_000))
    assert heirs(path) == PAYLOADS
    path.write_bytes(whole[: STARTS[5]] + bytes(100_000) + whole[STARTS[5] :])
    assert heirs(path) == PAYLOADS


def test_looking_behind_damage_takes_bounded_time() -> None:
    """Whatever the bytes are: zeros, noise, or lengths that all promise a record."""
    started = time.monotonic()
    for data in (
        bytes(8 << 20),
        os.urandom(8 << 20),
        FRAME_HEADER.pack(1 << 20, 7) * (1 << 20),
        b"\xff\x00" * (2 << 20),
    ):
        found = find(lambda start, count, data=data: data[start : start + count], 0, len(data))
        assert found is None
    assert time.monotonic() - started < 20


def test_a_record_that_holds_a_frame_is_not_taken_for_one() -> None:
    """Who can write a payload must not be able to write a record of somebody else."""
    forged = pack(b"a record of another tenant").decode("latin-1")
    line = encode(action(request_payload={"x": forged}, error_message=forged))
    assert b"\x00" not in line
    data = b"?" * 20 + line
    assert find(lambda start, count: data[start : start + count], 0, len(data)) is None


def test_damage_under_a_living_process_bars_no_other_record(tmp_path: Path) -> None:
    """It goes on in another file, since it cannot know how long this one is."""
    spool = open_spool(tmp_path)
    for payload in PAYLOADS:
        spool.append(payload)
    (path,) = tmp_path.glob("*.seg")
    overwrite(path, STARTS[4] + FRAME_HEADER.size, b"?")
    assert drain(spool) == PAYLOADS[:4] + PAYLOADS[5:]
    assert not spool.pending
    assert not path.exists()
    spool.append(b"later")
    assert drain(spool) == [b"later"]
    spool.close()


def test_what_is_set_aside_is_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go; the newest is there whatever its size, cut to the bound."""
    monkeypatch.setattr(aside, "ASIDE_BYTES_MAX", 100)
    for number in range(5):
        aside.set_aside(path.with_name(f"{number}.damaged"), bytes(40))
        os.utime(path.with_name(f"{number}.damaged"), (number, number))
    aside.set_aside(path.with_name("5.torn"), bytes(1000))
    found = aside.list_aside(path.parent)
    assert [(item.name, stat.st_size) for item, stat in found] == [("5.torn", 100)]


def test_a_disk_that_takes_nothing_aside_does_not_stop_the_records(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """They would be the ones to make room."""

    def refuse(*_: Any) -> None:
        raise OSError("no space left on device")

    overwrite(path, STARTS[4] + FRAME_HEADER.size, b"?")
    monkeypatch.setattr(aside.os, "fdopen", refuse)
    assert heirs(path) == PAYLOADS[:4] + PAYLOADS[5:]
    assert "bytes of a spool file not set aside" in [event["event"] for event in events(caplog)]


def test_verify_reads_files_in_use_without_touching_them(path: Path) -> None:
    """It names frames, bytes, damaged places and a torn end, and leaves all as it is."""
    living = open_spool(path.parent)
    living.append(b"of the living")
    overwrite(path, STARTS[4] + FRAME_HEADER.size, b"?")
    with path.open("ab") as file:
        file.write(pack(b"torn")[:-1])
    files = {item: item.read_bytes() for item in path.parent.iterdir()}
    dead, alive = verify(path.parent)
    assert (dead.name, dead.survey.frames, dead.bytes) == (path.name, 9, path.stat().st_size)
    assert dead.survey.damaged == ((STARTS[4], STARTS[5]),)
    assert (dead.survey.tail, dead.survey.torn) == (11, True)
    assert (alive.survey.frames, alive.survey.damaged) == (1, ())
    assert {item: item.read_bytes() for item in path.parent.iterdir()} == files
    assert count_records(path.parent) >= 11
    living.append(b"still its own")
    assert drain(living) == [b"of the living", b"still its own"]
    living.close()


def test_verify_does_not_take_a_file_in_motion_for_a_damaged_one(tmp_path: Path) -> None:
    """Its process may empty it and write anew between two reads."""
    spool = open_spool(tmp_path, segment_bytes_max=1 << 20)
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        for _ in range(50):
            spool.append(b"x" * 100)
        assert all(not report.survey.damaged for report in verify(tmp_path))
        drain(spool)
    spool.close()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Any]:
    """Runs a command of the spool group on a folder of this test."""
    app = create_app(Settings(data_dir=tmp_path / "data", **NOWHERE))

    def run(*arguments: str) -> Result:
        with app.app_context():
            return app.test_cli_runner().invoke(args=["spool", *arguments])

    yield run
    close_app(app, grace_s=0)


def test_the_commands_say_what_is_there_and_what_is_wrong(run: Any, tmp_path: Path) -> None:
    """verify ends with status 1 if anything is damaged, status counts records."""
    spool: Spool = open_spool(tmp_path / "data" / "spool")
    for payload in PAYLOADS:
        spool.append(payload)
    assert run("verify").exit_code == 0
    status = run("status")
    assert status.output.splitlines()[1].split()[:3] == ["1", "10", str(STARTS[10])]
    (path,) = spool.folder.glob("*.seg")
    overwrite(path, STARTS[4] + FRAME_HEADER.size, b"?")
    found = run("verify")
    assert found.exit_code == 1
    assert f"{STARTS[4]}-{STARTS[5]}" in found.output
    drain(spool)
    assert run("status").output.splitlines()[1].split()[-2:] == ["1", str(STARTS[5] - STARTS[4])]
    spool.close()


def test_the_seed_of_the_checksum_is_never_zero() -> None:
    """Or zeros would be empty records."""
    assert CHECKSUM_SEED
    assert pack(b"") != bytes(FRAME_HEADER.size)
