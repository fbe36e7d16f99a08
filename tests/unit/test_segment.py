"""A spool file: whole frames or none, whatever is cut, flipped or refused."""

import fcntl
from pathlib import Path

import pytest

from app.spool import segment as module
from app.spool.frames import FRAME_BYTES_MAX, FRAME_HEADER
from app.spool.segment import SUFFIX, Segment
from tests.support.forks import file_size_limit
from tests.support.samples import events

PAYLOADS = [b"first", b"", b"third \x00 bytes", b"x" * 100]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file of a test lies."""
    return tmp_path / f"one{SUFFIX}"


def written(path: Path, payloads: list[bytes] = PAYLOADS) -> bytes:
    """Write a file as a process that then dies; returns its bytes."""
    segment = Segment.create(path)
    for payload in payloads:
        segment.append(payload)
    segment.close()
    return path.read_bytes()


def contents(segment: Segment) -> list[bytes]:
    """All frames of a file."""
    return segment.read(0, rows_max=1000, bytes_max=1 << 20).payloads


def adopted(path: Path) -> list[bytes]:
    """What whoever adopts a file finds in it."""
    segment = Segment.adopt(path)
    assert segment is not None
    payloads = contents(segment)
    segment.close()
    return payloads


def open_files() -> int:
    """How many descriptors this process has."""
    return sum(1 for _ in Path("/dev/fd").iterdir())


def test_frames_come_back_in_their_order(path: Path) -> None:
    """Empty and binary ones too."""
    written(path)
    assert adopted(path) == PAYLOADS


def test_a_file_belongs_to_one_process_at_a_time(path: Path) -> None:
    """It is locked before it has its name; closing it sets it free."""
    segment = Segment.create(path)
    assert Segment.adopt(path) is None
    segment.append(b"x")
    segment.close()
    heir = Segment.adopt(path)
    assert heir is not None
    assert Segment.adopt(path) is None
    heir.close()


def test_a_new_file_is_readable_by_its_owner_alone(path: Path) -> None:
    """Payloads are other people's data."""
    written(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_is_gone_or_finished_meanwhile_is_nobodys(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may adopt, finish and delete it between two looks."""
    assert Segment.adopt(path) is None
    real = fcntl.flock

    def finished_meanwhile(descriptor: int, operation: int) -> None:
        path.unlink()
        real(descriptor, operation)

    written(path)
    monkeypatch.setattr(module.fcntl, "flock", finished_meanwhile)
    assert Segment.adopt(path) is None


def test_a_file_replaced_meanwhile_is_not_confused_with_its_successor(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name is no identity."""
    real = fcntl.flock

    def replaced_meanwhile(descriptor: int, operation: int) -> None:
        path.unlink()
        path.write_bytes(b"")
        real(descriptor, operation)

    written(path)
    monkeypatch.setattr(module.fcntl, "flock", replaced_meanwhile)
    assert Segment.adopt(path) is None
    assert path.read_bytes() == b""


def test_a_file_cut_at_any_byte_keeps_every_whole_frame(path: Path) -> None:
    """The torn rest is set aside, and what is appended afterwards is found again."""
    whole = written(path)
    ends = [0]
    for payload in PAYLOADS:
        ends.append(ends[-1] + FRAME_HEADER.size + len(payload))
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        expected = PAYLOADS[: sum(end <= cut for end in ends) - 1]
        torn = path.with_suffix(".torn")
        torn.unlink(missing_ok=True)
        segment = Segment.adopt(path)
        assert segment is not None
        assert contents(segment) == expected
        assert segment.size == path.stat().st_size == ends[len(expected)]
        assert (torn.read_bytes() if torn.exists() else b"") == whole[ends[len(expected)] : cut]
        segment.append(b"later")
        segment.close()
        assert adopted(path) == [*expected, b"later"]


def test_a_torn_end_is_logged(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Bytes that are not shipped are never set aside in silence."""
    whole = written(path)
    path.write_bytes(whole[:-1])
    assert adopted(path) == PAYLOADS[:-1]
    (event,) = events(caplog)
    assert event["event"] == "spool file had a torn end, set aside"
    assert event["bytes"] == FRAME_HEADER.size + 99


def test_a_run_is_bounded_in_rows_and_bytes(path: Path) -> None:
    """And goes on where the last one ended."""
    segment = Segment.create(path)
    for _ in range(5):
        segment.append(b"x" * 10)
    first = segment.read(0, rows_max=2, bytes_max=1000)
    assert (len(first.payloads), first.end) == (2, 36)
    assert len(segment.read(first.end, rows_max=9, bytes_max=1000).payloads) == 3
    assert len(segment.read(0, rows_max=9, bytes_max=37).payloads) == 2
    assert segment.read(90, rows_max=9, bytes_max=1000).payloads == []
    segment.close()


def test_a_frame_larger_than_a_run_is_handed_out_alone(path: Path) -> None:
    """Otherwise it would stand in the way for ever."""
    segment = Segment.create(path)
    largest = b"x" * (FRAME_BYTES_MAX - FRAME_HEADER.size)
    segment.append(largest)
    segment.append(b"next")
    run = segment.read(0, rows_max=9, bytes_max=1000)
    assert run.payloads == [largest]
    assert segment.read(run.end, rows_max=9, bytes_max=1000).payloads == [b"next"]
    segment.close()


def test_a_frame_that_could_not_be_read_back_is_not_written(path: Path) -> None:
    """One byte past the bound of a frame."""
    segment = Segment.create(path)
    with pytest.raises(OSError, match="too large"):
        segment.append(b"x" * (FRAME_BYTES_MAX - FRAME_HEADER.size + 1))
    assert segment.size == path.stat().st_size == 0
    segment.close()


def test_a_full_disk_leaves_the_file_as_it_was(path: Path) -> None:
    """A short write first, then none at all; once there is room, appending goes on."""
    segment = Segment.create(path)
    segment.append(b"before")
    size = segment.size
    for limit in (size + 10, size):
        with file_size_limit(limit), pytest.raises(OSError):  # noqa: PT011 - EFBIG or short
            segment.append(b"x" * 100)
        assert path.stat().st_size == segment.size == size
    segment.append(b"after")
    segment.close()
    assert adopted(path) == [b"before", b"after"]


def test_an_emptied_file_starts_again(path: Path) -> None:
    """Under the same lock."""
    segment = Segment.create(path)
    segment.append(b"old")
    segment.taken = segment.size
    assert segment.finished
    segment.empty()
    segment.append(b"new")
    assert contents(segment) == [b"new"]
    segment.remove()
    assert not path.exists()


def test_a_run_on_its_way_keeps_a_file_from_being_finished(path: Path) -> None:
    """Handed out is not confirmed."""
    segment = Segment.create(path)
    assert segment.finished
    segment.append(b"x")
    assert not segment.finished
    segment.taken, segment.open_runs = segment.size, 1
    assert not segment.finished
    segment.open_runs = 0
    assert segment.finished
    segment.close()


def test_a_file_that_cannot_be_read_is_let_go(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the disk while adopting leaves neither a lock nor a descriptor."""
    written(path)

    def fail(*_: object) -> bytes:
        raise OSError("input/output error")

    before = open_files()
    with monkeypatch.context() as patch:
        patch.setattr(module.os, "pread", fail)
        with pytest.raises(OSError, match="input/output"):
            Segment.adopt(path)
    assert open_files() == before
    assert adopted(path) == PAYLOADS
