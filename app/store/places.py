"""Which place for objects the settings name: a folder, or a bucket of S3."""

from ..config import Settings
from .objects import LocalObjects, Objects
from .s3 import Bucket, S3Objects, read_place

EXPORTS = "exports"  # below the archive


def open_archive(settings: Settings) -> Objects:
    """The archive's objects; nothing is connected before the first is asked for."""
    if not settings.archive_is_remote:
        return LocalObjects(settings.archive_dir)
    name, prefix = read_place(settings.archive_url)
    return S3Objects(settings, Bucket(name, prefix, lock=True), settings.archive_work_dir)


def open_exports(settings: Settings) -> Objects:
    """The files of exports, beside the archive's; they are never locked, as they go after a day."""
    if not settings.archive_is_remote:
        return LocalObjects(settings.archive_dir / EXPORTS)
    name, prefix = read_place(settings.archive_url)
    bucket = Bucket(name, f"{prefix}{EXPORTS}/", lock=False)
    return S3Objects(settings, bucket, settings.archive_work_dir / EXPORTS)
