"""The spool: what was appended is handed out until it is confirmed, whoever dies in between."""

import os
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from app.errors import SpoolFull
from app.spool import Spool
from app.spool.folder import SHIPMENT_BYTES_MAX
from tests.support.forks import Fork, file_size_limit
from tests.support.samples import drain, events, open_spool, recover

SMALL = 200  # bytes of a segment: a few records each


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """A spool of small files."""
    spool = open_spool(tmp_path, segment_bytes_max=SMALL)
    yield spool
    spool.close()


def names(where: Path, suffix: str = ".seg") -> list[str]:
    """The spool files in a folder."""
    return sorted(path.name for path in where.iterdir() if path.suffix == suffix)


def numbers(count: int, start: int = 0) -> list[bytes]:
    """Payloads that can be told apart."""
    return [b"record %d" % number for number in range(start, start + count)]


def fill(spool: Spool, payloads: list[bytes]) -> None:
    """Append payloads one by one."""
    for payload in payloads:
        spool.append(payload)


def kill(spool: Spool) -> None:
    """What the kernel does when a process dies: its locks are gone, its files stay."""
    spool.after_fork()


def test_records_are_handed_out_in_order_across_files(spool: Spool) -> None:
    """In shipments of at most the rows asked for."""
    fill(spool, numbers(50))
    assert len(names(spool.folder)) > 2
    first = spool.take(3)
    assert first is not None
    assert list(first.payloads) == numbers(3)
    assert drain(spool) == numbers(47, start=3)
    assert spool.take(1) is None


def test_a_shipment_is_bounded_in_bytes(tmp_path: Path) -> None:
    """But a record larger than the bound still travels, alone."""
    spool = open_spool(tmp_path, segment_bytes_max=1 << 30)
    large, half = b"x" * (SHIPMENT_BYTES_MAX + 1), b"y" * (SHIPMENT_BYTES_MAX // 2)
    fill(spool, [large, half, half, half])
    sizes = []
    while (shipment := spool.take(100)) is not None:
        sizes.append(len(shipment.payloads))
    assert sizes == [1, 1, 1, 1]
    spool.close()


def test_what_is_confirmed_leaves_the_disk(spool: Spool) -> None:
    """File by file; the one still written to is emptied."""
    fill(spool, numbers(50))
    assert spool.status().bytes > 0
    drain(spool)
    assert spool.status().bytes == 0
    assert len(names(spool.folder)) == 1
    fill(spool, numbers(1))
    assert drain(spool) == numbers(1)
    spool.close()
    assert names(spool.folder) == []


def test_what_is_not_confirmed_stays(spool: Spool) -> None:
    """Shipments may be confirmed in any order; only then are records forgotten."""
    fill(spool, numbers(6))
    shipments = [shipment for _ in range(3) if (shipment := spool.take(2))]
    spool.forget(shipments[2].id)
    spool.forget(shipments[0].id)
    assert spool.pending
    spool.close()
    assert set(shipments[1].payloads) <= set(recover(spool.folder))


def test_confirming_twice_or_something_unknown_is_harmless(spool: Spool) -> None:
    """Receipts may be read again, and may belong to another process."""
    fill(spool, numbers(2))
    first = spool.take(1)
    assert first is not None
    spool.forget(first.id)
    spool.forget(first.id)
    spool.forget(uuid4())
    assert spool.pending
    assert drain(spool) == numbers(1, start=1)
    assert not spool.pending


def test_a_spool_without_records_is_not_pending(spool: Spool) -> None:
    """There is nothing to wait for at the end of a process."""
    assert not spool.pending
    assert spool.take(1) is None
    assert spool.adopt() == 0


def test_the_next_process_finds_everything_in_the_order_it_was_appended(spool: Spool) -> None:
    """Across all files of the dead one."""
    fill(spool, numbers(50))
    kill(spool)
    heir = open_spool(spool.folder)
    assert heir.adopt() == len(names(spool.folder))
    assert drain(heir) == numbers(50)
    assert names(spool.folder) == []
    heir.close()


def test_a_living_process_keeps_its_files(spool: Spool) -> None:
    """Nobody ships what another still writes."""
    fill(spool, numbers(50))
    other = open_spool(spool.folder)
    assert other.adopt() == 0
    assert other.take(1) is None
    other.close()
    assert drain(spool) == numbers(50)


def test_adopted_records_go_before_ones_own(tmp_path: Path) -> None:
    """The oldest first."""
    dead, spool = open_spool(tmp_path), open_spool(tmp_path)
    fill(dead, numbers(2))
    kill(dead)
    fill(spool, numbers(2, start=2))
    assert spool.adopt() == 1
    assert spool.adopt() == 0
    assert drain(spool) == numbers(4)
    spool.close()


def test_an_empty_file_of_a_dead_process_is_removed(tmp_path: Path) -> None:
    """It is not worth an adoption."""
    dead, spool = open_spool(tmp_path), open_spool(tmp_path)
    fill(dead, numbers(1))
    drain(dead)
    kill(dead)
    assert spool.adopt() == 0
    assert names(tmp_path) == []
    spool.close()


def test_a_file_that_cannot_be_opened_does_not_keep_others_from_adoption(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Such as a folder by that name, or another user's file."""
    (tmp_path / "0.seg").mkdir()
    dead = open_spool(tmp_path)
    fill(dead, numbers(3))
    kill(dead)
    heir = open_spool(tmp_path)
    assert heir.adopt() == 1
    assert drain(heir) == numbers(3)
    heir.close()
    assert "spool file cannot be adopted" in [event["event"] for event in events(caplog)]


def test_the_status_counts_all_processes_files(tmp_path: Path) -> None:
    """Files, bytes, and the age of the oldest that holds something."""
    first, second = open_spool(tmp_path), open_spool(tmp_path)
    assert first.status().oldest_age_s == 0
    fill(first, [b"x" * 92])
    fill(second, [b"x" * 92])
    old = time.time() - 60
    os.utime(tmp_path / names(tmp_path)[0], (old, old))
    status = second.status()
    assert (status.segments, status.bytes, status.quarantined) == (2, 200, 0)
    assert 60 <= status.oldest_age_s < 70
    first.close()
    second.close()


def test_files_that_vanish_while_counted_are_no_error(tmp_path: Path) -> None:
    """Another process may finish one between the listing and the look; so does a dangling link."""
    (tmp_path / "gone.seg").symlink_to(tmp_path / "nowhere")
    spool = open_spool(tmp_path)
    assert spool.status().segments == 0
    fill(spool, numbers(1))
    assert spool.adopt() == 0
    spool.close()


def test_a_full_spool_refuses_and_keeps_a_reserve(tmp_path: Path) -> None:
    """Records that may use the reserve still fit; past it nothing does."""
    spool = open_spool(tmp_path, bytes_max=1000, reserve_bytes=500)
    payload = b"x" * 92
    for _ in range(10):
        spool.append(payload)
    with pytest.raises(SpoolFull, match="1000 bytes"):
        spool.append(payload)
    for _ in range(5):
        spool.append(payload, reserved=True)
    with pytest.raises(SpoolFull, match="1500 bytes"):
        spool.append(payload, reserved=True)
    assert spool.status().bytes == 1500
    assert len(drain(spool)) == 15
    spool.append(payload)
    spool.close()


def test_the_bound_holds_over_all_processes_of_the_host(tmp_path: Path) -> None:
    """What others wrote counts too."""
    first = open_spool(tmp_path, bytes_max=1000)
    for _ in range(10):
        first.append(b"x" * 92)
    second = open_spool(tmp_path, bytes_max=1000)
    with pytest.raises(SpoolFull):
        second.append(b"x" * 92)
    first.close()
    second.close()


def test_a_full_disk_loses_nothing_that_was_kept(spool: Spool) -> None:
    """The refused record raises; those before and after it are there."""
    fill(spool, numbers(3))
    with file_size_limit(60), pytest.raises(OSError):  # noqa: PT011 - EFBIG or a short write
        spool.append(b"x" * 100)
    fill(spool, numbers(3, start=3))
    kill(spool)
    assert recover(spool.folder) == numbers(6)


def test_threads_append_and_take_without_losing_or_doubling(spool: Spool) -> None:
    """Eight writers, one shipper."""
    taken: list[bytes] = []

    def write(number: int) -> None:
        fill(spool, numbers(100, start=number * 100))

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        taken += drain(spool)
    taken += drain(spool)
    assert sorted(taken) == sorted(numbers(800))


def test_a_file_cut_under_a_living_process_is_not_handed_out_empty(spool: Spool) -> None:
    """Somebody truncated it: an empty shipment would be taken again for ever."""
    fill(spool, [b"x" * SMALL, b"y", b"z"])
    first = spool.take(1)
    assert first is not None
    os.truncate(spool.folder / names(spool.folder)[1], 5)
    assert spool.take(1) is None
    spool.forget(first.id)
    assert not spool.pending
    fill(spool, [b"later"])
    assert drain(spool) == [b"later"]


@pytest.mark.parametrize("after", [1, 25, 200])
def test_sigkill_loses_no_append_that_returned(tmp_path: Path, after: int) -> None:
    """A child appends in a loop and says so each time; then it is killed in the act."""

    def append_for_ever(pipe: int) -> None:
        spool = open_spool(tmp_path, segment_bytes_max=SMALL)
        for number in range(1_000_000):
            spool.append(b"record %d" % number)
            os.write(pipe, b"%d\n" % number)

    with Fork(append_for_ever) as child:
        for _ in range(after):
            child.line()
        child.kill()
        said = [int(line) for line in child.rest().splitlines()]
    last = said[-1] if said else after - 1
    found = recover(tmp_path)
    assert found == numbers(len(found))
    assert len(found) in (last + 1, last + 2)  # one may have been kept but not yet told


def test_two_processes_share_a_folder(tmp_path: Path) -> None:
    """Each keeps its order; nothing is mixed up while they write, nor lost after they die."""

    def append(name: bytes) -> None:
        spool = open_spool(tmp_path, segment_bytes_max=SMALL)
        for number in range(100):
            spool.append(b"%s %d" % (name, number))

    with Fork(lambda _: append(b"a")) as first, Fork(lambda _: append(b"b")) as second:
        assert first.wait() == second.wait() == 0
    found = recover(tmp_path)
    for name in (b"a", b"b"):
        mine = [payload for payload in found if payload.startswith(name)]
        assert mine == [b"%s %d" % (name, number) for number in range(100)]
    assert len(found) == 200


def test_two_processes_never_adopt_the_same_file(tmp_path: Path) -> None:
    """Both look at the same moment; each record is handed out by one of them."""
    dead = open_spool(tmp_path, segment_bytes_max=SMALL)
    fill(dead, numbers(200))
    kill(dead)

    def adopt(pipe: int) -> None:
        spool = open_spool(tmp_path)
        spool.adopt()
        os.write(pipe, b"".join(payload + b"\n" for payload in drain(spool)))

    with Fork(adopt) as first, Fork(adopt) as second:
        found = (first.rest() + second.rest()).splitlines()
    assert sorted(found) == sorted(numbers(200))


def test_a_forked_child_neither_holds_nor_releases_its_parents_files(tmp_path: Path) -> None:
    """The parent dies, the child lives: the parent's records are free, the child's are not."""

    def parent(pipe: int) -> None:
        spool = open_spool(tmp_path)
        spool.append(b"of the parent")
        with Fork(lambda _: child(pipe, spool)) as grandchild:
            grandchild.wait()

    def child(pipe: int, spool: Spool) -> None:
        assert spool.take(1) is None
        assert not spool.pending
        spool.append(b"of the child")
        os.write(pipe, b"%d\n" % os.getpid())
        time.sleep(60)

    with Fork(parent) as process:
        grandchild = int(process.line())
        try:
            assert recover(tmp_path) == []
            process.kill()
            assert recover(tmp_path) == [b"of the parent"]
        finally:
            os.kill(grandchild, 9)
    deadline = time.monotonic() + 10
    while (found := recover(tmp_path)) == [] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert found == [b"of the child"]


def test_a_child_that_ends_leaves_its_parents_files_locked(spool: Spool) -> None:
    """However it ends: closing its spool, or the kernel closing all."""
    fill(spool, numbers(3))
    for end in (spool.close, lambda: None):
        with Fork(lambda _, end=end: end()) as child:  # type: ignore[misc]
            assert child.wait() == 0
        assert recover(spool.folder) == []
    assert drain(spool) == numbers(3)


def test_a_fork_waits_for_an_append_in_another_thread(tmp_path: Path) -> None:
    """A file opened but not yet on the list would be locked by the child for its whole life."""
    spool = open_spool(tmp_path, segment_bytes_max=1)
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            fill(spool, [b"x"] * 20)
            drain(spool)

    writer = threading.Thread(target=write)
    writer.start()
    children: list[Fork] = []
    try:
        for _ in range(100):
            children.append(Fork(partial(tell_and_stay, spool.folder)))  # noqa: PERF401
        assert [child.line() for child in children] == [b"0"] * 100
    finally:
        stop.set()
        writer.join()
        for child in children:
            child.__exit__(None, None, None)
    spool.close()


def tell_and_stay(folder: Path, pipe: int) -> None:
    """Write how many spool files it has open; a hundred ends of processes would take their time."""
    os.write(pipe, b"%d\n" % held(folder))
    time.sleep(60)


def held(folder: Path) -> int:
    """How many files of a spool this process has open."""
    paths = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return sum(
        folder in path.parents and (".seg" in path.name or ".new" in path.name) for path in paths
    )


def test_a_spool_that_is_gone_is_not_kept_by_its_fork_hook(tmp_path: Path) -> None:
    """A fork after that is nobody's business."""
    import weakref

    spool = open_spool(tmp_path)
    reference = weakref.ref(spool)
    del spool
    assert reference() is None
    with Fork(lambda _: None) as child:
        assert child.wait() == 0


def test_a_closed_spool_can_be_used_again(spool: Spool) -> None:
    """Closing lets go of files, no more."""
    fill(spool, numbers(2))
    spool.close()
    fill(spool, numbers(2, start=2))
    assert drain(spool) == numbers(2, start=2)
    assert spool.adopt() == 1
    assert drain(spool) == numbers(2)


def test_a_process_that_fails_to_open_a_new_file_keeps_its_old_one(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of descriptors or folder gone: the error is the caller's, the spool stays whole."""
    fill(spool, [b"x" * SMALL])
    with monkeypatch.context() as patch:
        patch.setattr(spool, "folder", spool.folder / "missing")
        with pytest.raises(OSError, match="missing"):
            spool.append(b"y")
    spool.append(b"z")
    assert drain(spool) == [b"x" * SMALL, b"z"]
