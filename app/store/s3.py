"""Objects in a bucket of S3, of Amazon or of any server that speaks it.

Every request has a bound in time and in attempts; what fails says why in the words of
`StorageReason`. A key is written if it is free, by a condition that the store itself checks.
"""

import io
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, cast

from uuid_utils.compat import uuid7

from ..config import Settings
from ..domain.archive import Segment
from ..errors import ArchiveDamaged, QueryTimeout, StorageFault, StorageReason
from .object_cache import ObjectCache
from .objects import SCRATCH

PART_BYTES = 16 * 1024 * 1024  # of a larger object at a time in memory; S3 takes 10,000 of them
CHUNK_BYTES = 256 * 1024
DOWNLOADS_MAX = 8  # at a time, of one query
FETCH_S_MAX = 300.0  # of one object that is read back, however slowly it trickles
CONNECT_S_MAX = 5.0
CHECKSUM = "SHA256"  # of each transfer, which a bucket with object lock insists on
LOCKS = {"governance": "GOVERNANCE", "compliance": "COMPLIANCE"}
ENCRYPTIONS = {"aes256": "AES256", "aws:kms": "aws:kms"}
MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
TAKEN = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict", "409"})
REASONS = {
    **dict.fromkeys(
        ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"),
        StorageReason.EXPIRED,
    ),
    **dict.fromkeys(
        (
            *("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken"),
            *("AllAccessDisabled", "AccountProblem", "NoSuchBucket", "Forbidden", "InvalidRequest"),
            *("RequestTimeTooSkewed", "MethodNotAllowed", "InvalidArgument"),
        ),
        StorageReason.REFUSED,
    ),
    **dict.fromkeys(
        ("SlowDown", "RequestTimeout", "Throttling", "TooManyRequests", "RequestLimitExceeded"),
        StorageReason.SLOW,
    ),
    **dict.fromkeys(
        ("QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "EntityTooLarge"),
        StorageReason.FULL,
    ),
}
STATUSES = {
    401: StorageReason.REFUSED,
    403: StorageReason.REFUSED,
    429: StorageReason.SLOW,
    507: StorageReason.FULL,
}


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where the objects are: a bucket, what their keys begin with, and how they are written.

    Args:
        lock: whether they are locked as the settings say.
    """

    name: str
    prefix: str
    lock: bool


class S3Objects:
    """Objects of a bucket.

    Args:
        work: a folder of this host, for what comes and goes.
    """

    def __init__(self, settings: Settings, bucket: Bucket, work: Path) -> None:
        self._settings = settings
        self._bucket = bucket
        self._work = work
        self._cache = ObjectCache(work / "objects", settings.archive_cache_bytes)
        self._lock = Lock()
        self._made: Any = None
        self._made_by = 0

    @property
    def folder(self) -> Path:
        """The cache."""
        return self._cache.folder.absolute()

    @property
    def scratch(self) -> Path:
        """Of this host: whoever writes objects is the only one to do so."""
        folder = self._work / SCRATCH
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def put(self, key: str, source: Path) -> None:
        """See `Objects`."""
        size = source.stat().st_size
        with source.open("rb") as file:
            try:
                with _translated(f"write {key}"):
                    if size > PART_BYTES:
                        self._put_parts(key, file)
                    else:
                        self._client.put_object(
                            **self._named(key), **self._manner(), Body=file, IfNoneMatch="*"
                        )
            except _Taken as taken:
                # An attempt whose answer was lost may have written it; what is there tells.
                if not taken.retried or self._size(key) != size:
                    raise FileExistsError(f"{key}: the key is taken") from taken
        source.unlink()

    @contextmanager
    def opened(self, segments: Sequence[Segment], *, within_s: float) -> Iterator[list[Path]]:
        """See `Objects`."""
        deadline = time.monotonic() + within_s
        with ExitStack() as stack, ThreadPoolExecutor(DOWNLOADS_MAX) as pool:
            held = [
                self._cache.opened(
                    segment.content.file_sha256,
                    segment.content.bytes,
                    partial(self._download, segment.key, deadline),
                )
                for segment in segments
            ]
            # Each enters in a thread; all of them are left, whatever becomes of one.
            entering = [pool.submit(one.__enter__) for one in held]
            for one, entered in zip(held, entering, strict=True):
                stack.callback(_leave, one, entered)
            yield [entered.result() for entered in entering]

    @contextmanager
    def fetched(self, key: str) -> Iterator[Path]:
        """See `Objects`."""
        path = self.scratch / f"{uuid7()}.fetched"
        try:
            with path.open("xb") as file:
                for part in self._download(key, time.monotonic() + FETCH_S_MAX):
                    file.write(part)
            yield path
        finally:
            path.unlink(missing_ok=True)

    def reader(self, key: str) -> BinaryIO:
        """See `Objects`."""
        return cast("BinaryIO", io.BufferedReader(_Reader(self, key, self._size(key)), CHUNK_BYTES))

    def read_from(self, key: str, start: int) -> Any:
        """The stream of an object's bytes from a place on.

        Raises:
            StorageFault: the store does not give it.
        """
        with _translated(f"read {key}"):
            return self._client.get_object(**self._named(key), Range=f"bytes={start}-")["Body"]

    def list(self, prefix: str) -> list[str]:
        """See `Objects`."""
        found: list[str] = []
        with _translated(f"list {prefix}"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket.name, Prefix=self._bucket.prefix + prefix
            )
            for page in pages:
                found += [one["Key"] for one in page.get("Contents", ())]
        return sorted(key.removeprefix(self._bucket.prefix) for key in found)

    def delete(self, key: str) -> None:
        """See `Objects`; a bucket that keeps versions keeps this one as an old version."""
        with _translated(f"delete {key}"):
            self._client.delete_object(**self._named(key))

    def _put_parts(self, key: str, file: BinaryIO) -> None:
        named = self._named(key)
        upload = {
            **named,
            "UploadId": self._client.create_multipart_upload(**named, **self._manner())["UploadId"],
        }
        try:
            parts = []
            for number, body in enumerate(iter(partial(file.read, PART_BYTES), b""), 1):
                said = self._client.upload_part(
                    **upload, PartNumber=number, Body=body, ChecksumAlgorithm=CHECKSUM
                )
                kept = {name: said[name] for name in ("ETag", "ChecksumSHA256") if name in said}
                parts.append({"PartNumber": number, **kept})
            self._client.complete_multipart_upload(
                **upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*"
            )
        except BaseException:
            with suppress(Exception):  # a bucket's lifecycle removes what is left of it
                self._client.abort_multipart_upload(**upload)
            raise

    def _download(self, key: str, deadline: float) -> Iterator[bytes]:
        with _translated(f"read {key}"):
            body = self._client.get_object(**self._named(key))["Body"]
            with body:
                for part in body.iter_chunks(CHUNK_BYTES):
                    yield part
                    if time.monotonic() > deadline:
                        raise QueryTimeout

    def _size(self, key: str) -> int:
        with _translated(f"look at {key}"):
            return int(self._client.head_object(**self._named(key))["ContentLength"])

    def _named(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket.name, "Key": self._bucket.prefix + key}

    def _manner(self) -> dict[str, Any]:
        """How an object is to be kept."""
        settings = self._settings
        found: dict[str, Any] = {"ChecksumAlgorithm": CHECKSUM}
        if settings.archive_encryption:
            found["ServerSideEncryption"] = ENCRYPTIONS[settings.archive_encryption]
        if settings.archive_kms_key:
            found["SSEKMSKeyId"] = settings.archive_kms_key
        if settings.archive_lock and self._bucket.lock:
            until = datetime.now(UTC) + timedelta(days=settings.archive_lock_days)
            found["ObjectLockMode"] = LOCKS[settings.archive_lock]
            found["ObjectLockRetainUntilDate"] = until
        return found

    @property
    def _client(self) -> Any:
        """Made at first use: it takes 30 MB, and a child process must not have its parent's."""
        with self._lock:
            if self._made is None or self._made_by != os.getpid():
                self._made, self._made_by = _connect(self._settings), os.getpid()
            return self._made


def _connect(settings: Settings) -> Any:
    import boto3
    from botocore.config import Config

    timeout_s = settings.archive_timeout_s
    own_endpoint = settings.archive_endpoint_url
    addressing = settings.archive_addressing
    if addressing == "auto" and own_endpoint:
        addressing = "path"
    session = boto3.session.Session()
    return session.client(
        "s3",
        endpoint_url=own_endpoint or None,
        region_name=settings.archive_region or session.region_name or "us-east-1",
        config=Config(
            connect_timeout=min(timeout_s / 2, CONNECT_S_MAX),
            read_timeout=timeout_s,
            retries={"mode": "standard", "total_max_attempts": settings.archive_attempts},
            max_pool_connections=DOWNLOADS_MAX,
            s3=cast("Any", {"addressing_style": addressing}),
        ),
    )


class _Taken(Exception):
    """The key is taken.

    Args:
        retried: whether an attempt before this one may have been the one that took it.
    """

    def __init__(self, *, retried: bool) -> None:
        super().__init__()
        self.retried = retried


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    """Say what a client's error comes to."""
    from botocore import exceptions as said

    try:
        yield
    except said.ClientError as error:
        raise _meaning(doing, error) from error
    except (said.ReadTimeoutError, said.ConnectTimeoutError) as error:
        raise _fault(doing, error, StorageReason.SLOW) from error
    except (said.NoCredentialsError, said.PartialCredentialsError) as error:
        raise _fault(doing, error, StorageReason.REFUSED) from error
    except said.CredentialRetrievalError as error:
        raise _fault(doing, error, StorageReason.EXPIRED) from error
    except (said.ConnectionError, said.HTTPClientError, said.IncompleteReadError) as error:
        raise _fault(doing, error, StorageReason.AWAY) from error
    except said.FlexibleChecksumError as error:
        raise ArchiveDamaged(f"{doing}: {error}") from error
    except said.BotoCoreError as error:
        raise _fault(doing, error, StorageReason.FAILED) from error


def _meaning(doing: str, error: Any) -> Exception:
    code = str(error.response.get("Error", {}).get("Code", ""))
    about = error.response.get("ResponseMetadata", {})
    status = int(about.get("HTTPStatusCode", 0))
    if code in MISSING:
        return ArchiveDamaged(f"{doing}: the object is not there")
    if code in TAKEN:
        return _Taken(retried=about.get("RetryAttempts", 0) > 0)
    reason = REASONS.get(code) or STATUSES.get(status)
    away = StorageReason.AWAY if status >= 500 else StorageReason.FAILED
    return _fault(doing, error, reason or away)


def _fault(doing: str, error: Exception, reason: StorageReason) -> StorageFault:
    return StorageFault(f"The object store did not {doing}: {error}", reason=reason)


def _leave(held: Any, entered: Any) -> None:
    """Let go of a cached object, if it was got hold of."""
    if entered.exception() is None:
        held.__exit__(None, None, None)


class _Reader(io.RawIOBase):
    """An object's bytes, asked for from where it is read."""

    def __init__(self, objects: S3Objects, key: str, size: int) -> None:
        self._objects = objects
        self._key = key
        self._size = size
        self._at = 0
        self._stream: Any = None

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; nothing is asked for before it is read."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if start + offset != self._at:
            self._at = start + offset
            self._let_go()
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, as far as one reading of the stream gives."""
        if self._at >= self._size:
            return 0
        if self._stream is None:
            self._stream = self._objects.read_from(self._key, self._at)
        with _translated(f"read {self._key}"):
            part = self._stream.read(len(buffer))
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)

    def close(self) -> None:
        """Let go of the connection."""
        self._let_go()
        super().close()

    def _let_go(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def read_place(url: str) -> tuple[str, str]:
    """Bucket and prefix of an s3:// URL; the prefix ends with a slash, unless it is none."""
    bucket, _, prefix = url.partition("://")[2].partition("/")
    return bucket, f"{prefix.strip('/')}/" if prefix.strip("/") else ""
