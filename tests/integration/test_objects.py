"""One contract for all places of objects: a folder, a real server of S3, and a made-up one."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from uuid_utils.compat import uuid7

from app.config import Settings, load_settings
from app.domain.archive import Content, Segment, TenantDay
from app.domain.records import Kind
from app.errors import ArchiveDamaged, QueryTimeout, StorageFault, StorageReason
from app.setting_types import InvalidSetting
from app.store import s3
from app.store.object_cache import ObjectCache
from app.store.objects import Objects
from app.store.places import open_archive, open_exports
from tests.support.buckets import LOCKED, PLAIN, READER, Access, Seaweed, opened_store

DAY = datetime(2021, 5, 4, tzinfo=UTC)
OF = TenantDay(uuid7(), Kind.ACTION, DAY.date())


def told(access: Access, tmp_path: Path, **values: Any) -> Settings:
    """Settings of a store, with a prefix of its own."""
    chosen = {"archive_timeout_s": 15.0, "archive_attempts": 1, **values}
    bucket = chosen.pop("bucket", PLAIN)
    return replace(
        load_settings({}),
        data_dir=tmp_path / "data",
        archive_url=f"s3://{bucket}/{uuid4().hex}/deep",
        archive_endpoint_url=access.endpoint,
        **chosen,
    )


@pytest.fixture(params=["folder", "seaweed", "moto"])
def objects(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Objects]:
    """Each kind of place."""
    if request.param == "folder":
        yield open_archive(replace(load_settings({}), archive_url=str(tmp_path / "archive")))
    elif request.param == "seaweed":
        access = request.getfixturevalue("seaweed").access()
        _use(access, monkeypatch)
        yield open_archive(told(access, tmp_path))
    else:
        with opened_store() as store:
            _use(store.access, monkeypatch)
            yield open_archive(told(store.access, tmp_path))


def _use(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in access.environment.items():
        monkeypatch.setenv(name, value)


def file_of(objects: Objects, data: bytes) -> Path:
    """A file that is to become an object."""
    path = objects.scratch / uuid4().hex
    path.write_bytes(data)
    return path


def segment_of(data: bytes) -> Segment:
    """A segment whose object has these bytes."""
    content = Content(
        row_count=1,
        min_created_at=DAY,
        max_created_at=DAY,
        content_sha256=b"",
        file_sha256=hashlib.sha256(data).digest(),
        bytes=len(data),
    )
    return Segment(id=uuid7(), of=OF, content=content)


def put(objects: Objects, data: bytes) -> Segment:
    """An object, and the segment that names it."""
    segment = segment_of(data)
    objects.put(segment.key, file_of(objects, data))
    return segment


def test_what_was_put_is_read_back_listed_and_deleted(objects: Objects) -> None:
    """By its key alone; the file it was made of is gone."""
    one, other = put(objects, b"one" * 1000), put(objects, b"other")
    assert list(objects.scratch.iterdir()) == []
    with objects.fetched(one.key) as path:
        assert path.read_bytes() == b"one" * 1000
    with objects.opened([other, one], within_s=20) as (second, first):
        assert (first.read_bytes(), second.read_bytes()) == (b"one" * 1000, b"other")
        assert first.absolute().is_relative_to(objects.folder.absolute())
    assert objects.list(OF.prefix) == sorted([one.key, other.key])
    assert objects.list("tenant_id=nobody/") == []
    objects.delete(one.key)
    objects.delete(one.key)
    assert objects.list(OF.prefix) == [other.key]
    with pytest.raises(ArchiveDamaged), objects.fetched(one.key):
        pass
    with pytest.raises(ArchiveDamaged):
        objects.reader(one.key)


@pytest.mark.parametrize("size", [10, s3.PART_BYTES * 2 + 5], ids=["small", "in parts"])
def test_an_object_is_never_overwritten(objects: Objects, size: int) -> None:
    """The key is taken, and keeps what it had; also where it takes several parts to write."""
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    segment = put(objects, data)
    again = file_of(objects, b"y" * size)
    with pytest.raises(FileExistsError):
        objects.put(segment.key, again)
    assert again.exists()
    with objects.fetched(segment.key) as path:
        assert hashlib.sha256(path.read_bytes()).digest() == segment.content.file_sha256
    again.unlink()


def test_an_object_is_read_from_any_place(objects: Objects) -> None:
    """As a download that goes on where it stopped."""
    data = bytes(range(256)) * 4000
    segment = put(objects, data)
    with objects.reader(segment.key) as file:
        assert file.seek(700_000) == 700_000
        assert file.read(1000) == data[700_000:701_000]
        file.seek(3)
        assert file.read() == data[3:]
        assert file.read(1) == b""


def test_an_object_that_changed_is_not_given_for_what_it_was(
    seaweed: Seaweed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is fetched, its digest is; nothing of it stays in the cache."""
    access = seaweed.access()
    _use(access, monkeypatch)
    settings = told(access, tmp_path)
    objects = open_archive(settings)
    segment = put(objects, b"right")
    prefix = settings.archive_url.partition(f"{PLAIN}/")[2]
    access.client().put_object(Bucket=PLAIN, Key=f"{prefix}/{segment.key}", Body=b"wrong")
    with pytest.raises(ArchiveDamaged), objects.opened([segment], within_s=20):
        pass
    assert list(objects.folder.iterdir()) == []


def test_objects_are_encrypted_and_locked_as_the_settings_say(
    seaweed: Seaweed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small ones and those in parts; the files of exports, which go after a day, are not locked."""
    access = seaweed.access()
    _use(access, monkeypatch)
    settings = told(
        *(access, tmp_path),
        bucket=LOCKED,
        archive_encryption="aes256",
        archive_lock="governance",
        archive_lock_days=7,
    )
    client, prefix = access.client(), settings.archive_url.partition(f"{LOCKED}/")[2]
    archive, exports = open_archive(settings), open_exports(settings)
    for data in (b"small", b"large" * (s3.PART_BYTES // 4)):
        segment = put(archive, data)
        at = {"Bucket": LOCKED, "Key": f"{prefix}/{segment.key}"}
        assert client.head_object(**at)["ServerSideEncryption"] == "AES256"
        kept = client.get_object_retention(**at)["Retention"]
        assert kept["Mode"] == "GOVERNANCE"
        left = kept["RetainUntilDate"] - datetime.now(UTC)
        assert timedelta(days=6, hours=23) < left < timedelta(days=7, hours=1)
        with archive.opened([segment], within_s=20) as (path,):
            assert path.read_bytes() == data
    exports.put("t/e.csv", file_of(exports, b"rows"))
    at = {"Bucket": LOCKED, "Key": f"{prefix}/exports/t/e.csv"}
    assert client.head_object(**at).get("ObjectLockMode") is None


def test_a_key_that_may_not_write_is_told_from_a_wrong_one(
    seaweed: Seaweed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are refused, in the store's own words; and so is a bucket that is not there."""
    reader = seaweed.access(READER)
    _use(reader, monkeypatch)
    said = refusal_of(told(reader, tmp_path))
    assert (said.reason, "AccessDenied" in str(said)) == (StorageReason.REFUSED, True)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    said = refusal_of(told(reader, tmp_path))
    assert (said.reason, "SignatureDoesNotMatch" in str(said)) == (StorageReason.REFUSED, True)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert refusal_of(told(reader, tmp_path)).reason is StorageReason.REFUSED


def refusal_of(settings: Settings) -> StorageFault:
    """What a store says to an object."""
    with pytest.raises(StorageFault) as refused:
        put(open_archive(settings), b"data")
    return refused.value


def test_what_a_store_says_comes_to_one_of_a_few_reasons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its words are."""
    with opened_store() as store:
        _use(store.access, monkeypatch)
        for answer, reason in (
            ((400, "ExpiredToken"), StorageReason.EXPIRED),
            ((503, "SlowDown"), StorageReason.SLOW),
            ((507, "InsufficientStorage"), StorageReason.FULL),
            ((403, "Whatever"), StorageReason.REFUSED),
            ((500, "InternalError"), StorageReason.AWAY),
            ((418, "Teapot"), StorageReason.FAILED),
        ):
            store.faults.refuse = {"PUT": answer}
            assert refusal_of(told(store.access, tmp_path)).reason is reason, answer
        store.faults.clear()
        store.faults.sleep_s = 1.0
        settings = told(store.access, tmp_path, archive_timeout_s=0.2)
        assert refusal_of(settings).reason is StorageReason.SLOW
    assert refusal_of(told(store.access, tmp_path)).reason is StorageReason.AWAY


def test_a_request_is_tried_again_a_set_number_of_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no longer; what one of them wrote although its answer was lost is found to be there."""
    with opened_store() as store:
        _use(store.access, monkeypatch)
        settings = told(store.access, tmp_path, archive_attempts=3)
        store.faults.refuse = {"PUT": (503, "SlowDown")}
        store.faults.seen.clear()
        with pytest.raises(StorageFault):
            put(open_archive(settings), b"data")
        assert len([one for one in store.faults.seen if one[0] == "PUT"]) == 3
        store.faults.clear()
        store.faults.lost = 1
        segment = put(open_archive(settings), b"data")
        with open_archive(settings).fetched(segment.key) as path:
            assert path.read_bytes() == b"data"


def test_what_takes_too_long_to_come_ends_the_query(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the store's patience alone bounds it."""
    with opened_store() as store:
        _use(store.access, monkeypatch)
        objects = open_archive(told(store.access, tmp_path))
        segment = put(objects, b"x" * 1_000_000)
        with pytest.raises(QueryTimeout), objects.opened([segment], within_s=0):
            pass


def test_the_cache_keeps_what_was_read_last_and_no_more_than_it_may(tmp_path: Path) -> None:
    """Files in use stay; what does not fit beside them is refused, and says what to do."""
    cache, loads = ObjectCache(tmp_path, 100), []

    def read(letter: bytes, size: int = 40) -> Any:
        data = letter * size

        def download() -> Iterator[bytes]:
            loads.append(letter)
            yield data

        return cache.opened(hashlib.sha256(data).digest(), size, download)

    for letter in (b"a", b"b", b"a"):
        with read(letter) as path:
            assert path.read_bytes() == letter * 40
    assert loads == [b"a", b"b"]
    with read(b"c"), read(b"a"):
        assert loads == [b"a", b"b", b"c"]  # b went, as it was read before a
        with pytest.raises(StorageFault, match="OPSLEDGER_ARCHIVE_CACHE_BYTES"), read(b"d"):
            pass
    with read(b"d", 90) as path:
        assert path.stat().st_size == 90
    assert sum(one.stat().st_size for one in tmp_path.iterdir()) <= 100


def test_many_who_read_at_once_share_the_cache(tmp_path: Path) -> None:
    """Each gets what it asked for, although there is room for a few only."""
    caches, wrong = [ObjectCache(tmp_path, 1000) for _ in range(2)], []

    def work(cache: ObjectCache, seed: int) -> None:
        for number in range(60):
            data = bytes([(number * seed) % 7]) * 200
            digest = hashlib.sha256(data).digest()
            with cache.opened(digest, len(data), lambda data=data: [data]) as path:
                if path.read_bytes() != data:
                    wrong.append(number)

    threads = [threading.Thread(target=work, args=(caches[n % 2], n + 1)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert sum(one.stat().st_size for one in tmp_path.iterdir()) <= 1000 + 200


@pytest.mark.parametrize(
    "url", ["s3://", "s3://key:secret@bucket/x", "https://s3.example.com/b", "file://host/x"]
)
def test_a_place_that_is_none_is_refused(url: str) -> None:
    """With what it must be."""
    with pytest.raises(InvalidSetting, match="OPSLEDGER_ARCHIVE_URL"):
        load_settings({"OPSLEDGER_ARCHIVE_URL": url})


def test_a_folder_may_be_given_by_path_or_url() -> None:
    """It is the same one."""
    for url in ("/srv/cold data", "file:///srv/cold%20data"):
        found = load_settings({"OPSLEDGER_ARCHIVE_URL": url})
        assert (found.archive_dir, found.archive_is_remote) == (Path("/srv/cold data"), False)
