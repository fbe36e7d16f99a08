"""The archive's settings: where it is, how its objects are written and read, and how full
storage may get.
"""

from dataclasses import dataclass

from .setting_types import one_of, place, seconds, whole
from .setting_types import setting as _setting

GIB = 1024**3
S3 = "s3://"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSettings:
    """Settings of the archive, of exports and of the watch over storage; part of Settings."""

    archive_url: str = _setting(
        "OPSLEDGER_ARCHIVE_URL",
        "",
        "URL or folder",
        "Where the archive and finished exports are, as all hosts see it: s3://bucket/prefix, or a"
        " folder (file:///…, or its path). Empty: archive, in the data folder.",
        place,
    )
    archive_endpoint_url: str = _setting(
        "OPSLEDGER_ARCHIVE_ENDPOINT_URL",
        "",
        "URL",
        "The server of an S3 that is not Amazon's: https://s3.example.com. Empty: Amazon's, or that"
        " of AWS_ENDPOINT_URL. Credentials come as AWS's own tools take them: from AWS_…, a profile"
        " or the machine's role.",
    )
    archive_region: str = _setting(
        "OPSLEDGER_ARCHIVE_REGION",
        "",
        "name",
        "The bucket's region. Empty: that of AWS_DEFAULT_REGION or the profile, else us-east-1,"
        " which servers that have no regions take.",
    )
    archive_addressing: str = _setting(
        "OPSLEDGER_ARCHIVE_ADDRESSING",
        "auto",
        "auto, path, virtual",
        "Whether a bucket stands in the path or before the host's name; auto: in the path with an"
        " endpoint of one's own, since few such servers have a name for each bucket.",
        one_of("auto", "path", "virtual"),
    )
    archive_encryption: str = _setting(
        "OPSLEDGER_ARCHIVE_ENCRYPTION",
        "",
        "AES256, aws:kms",
        "Has the store encrypt each object, asked for at each writing, so that a bucket that forgot"
        " to does not matter. Empty: as the bucket has it.",
        one_of("", "aes256", "aws:kms"),
    )
    archive_kms_key: str = _setting(
        "OPSLEDGER_ARCHIVE_KMS_KEY",
        "",
        "id or ARN",
        "The key of aws:kms. Empty: the bucket's own.",
    )
    archive_lock: str = _setting(
        "OPSLEDGER_ARCHIVE_LOCK",
        "",
        "governance, compliance",
        "Locks each object of the archive, not exports, for OPSLEDGER_ARCHIVE_LOCK_DAYS, in a"
        " bucket made with object lock: so long nobody can destroy it, and what is erased or purged"
        " stays there as an old version. Empty: no lock, or the bucket's own.",
        one_of("", "governance", "compliance"),
    )
    archive_lock_days: int = _setting(
        "OPSLEDGER_ARCHIVE_LOCK_DAYS",
        30,
        "days",
        "How long: enough to notice a mistake, and within the month that an erasure may take.",
        whole(1),
    )
    archive_timeout_s: float = _setting(
        "OPSLEDGER_ARCHIVE_TIMEOUT_S",
        10.0,
        "s",
        "Longest silence of the object store within one request; connecting takes at most half.",
        seconds,
    )
    archive_attempts: int = _setting(
        "OPSLEDGER_ARCHIVE_ATTEMPTS",
        3,
        "attempts",
        "Of one request to the object store; with pauses between them. What fails all of them fails"
        " the run, and the next one, an hour later, goes on.",
        whole(1, 10),
    )
    archive_cache_bytes: int = _setting(
        "OPSLEDGER_ARCHIVE_CACHE_BYTES",
        GIB,
        "bytes",
        "Of this host's disk (archive-cache, in the data folder) for objects of S3 that were read;"
        " the longest unread go first. It must hold what one query opens: up to 64 files.",
        whole(1024 * 1024),
    )

    storage_bytes: int = _setting(
        "OPSLEDGER_STORAGE_BYTES",
        0,
        "bytes",
        "How much Postgres' disk holds, which Postgres does not tell; with it storage says when it"
        " is full. 0: not known.",
        whole(0),
    )
    storage_warn_days: int = _setting(
        "OPSLEDGER_STORAGE_WARN_DAYS",
        30,
        "days",
        "Storage warns if a disk will be full sooner: time enough to order another.",
        whole(0),
    )
    storage_warn_percent: int = _setting(
        "OPSLEDGER_STORAGE_WARN_PERCENT",
        80,
        "%",
        "Storage warns if more of a disk is taken, however slowly it grows; a VACUUM needs room.",
        whole(1, 100),
    )

    @property
    def archive_is_remote(self) -> bool:
        """Whether the archive is in an object store, not in a folder."""
        return self.archive_url.startswith(S3)
