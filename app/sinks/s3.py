"""S3: an object of JSON lines, compressed, for each hour that a batch has records of.

Requests are signed by boto3 and sent by our own guarded connections: it would resolve the host once
more by itself. Its keys are those given, never the machine's.
"""

import gzip
from collections.abc import Mapping, Sequence
from datetime import UTC
from itertools import groupby
from typing import Any

from ..config import Settings
from ..domain.forwarding import Outgoing
from ..errors import SinkError
from .http import Poster, check_url
from .protocol import MIB, TLS_ASKED, Account, Asked, Receipt, SinkKind

ROWS_MAX = 1000
BYTES_MAX = 32 * MIB
LINK_S = 300
GZIP_LEVEL = 6


class S3Sink:
    """PUTs objects whose names follow from their records: a repeat writes the same one again."""

    rows_max = ROWS_MAX
    bytes_max = BYTES_MAX
    record_bytes_max = BYTES_MAX

    def __init__(self, account: Account) -> None:
        import boto3  # some 20 MB, which only those need who send here
        from botocore.config import Config

        values, secrets = account.values, account.secrets
        self._poster = Poster(account)
        self._bucket = values["bucket"]
        self._prefix = (values.get("prefix") or "").strip("/")
        self._client = boto3.session.Session(
            aws_access_key_id=values["access_key_id"],
            aws_secret_access_key=secrets["secret_access_key"],
            region_name=values["region"],
        ).client(
            "s3",
            endpoint_url=values.get("endpoint"),
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
        )

    def deliver(self, records: Sequence[Outgoing]) -> Receipt:
        """Write the objects of one batch; it counts when all are there."""
        groups = sorted(records, key=_place)
        made = 0
        for place, group in groupby(groups, key=_place):
            self._put(place, list(group))
            made += 1
        return Receipt(words=f"{made} objects written")

    def close(self) -> None:
        """Let go of connections."""
        self._poster.close()

    def _put(self, place: str, records: Sequence[Outgoing]) -> None:
        first, last = records[0].id, records[-1].id
        name = f"{place}/{first}_{last}_{len(records)}.jsonl.gz"
        path = f"{self._prefix}/{name}" if self._prefix else name
        lines = b"".join(record.body + b"\n" for record in records)
        body = gzip.compress(lines, GZIP_LEVEL, mtime=0)
        target = {"Bucket": self._bucket, "Key": path}
        url = self._client.generate_presigned_url("put_object", Params=target, ExpiresIn=LINK_S)
        try:
            self._poster.post(url, body, {}, method="PUT", compress=False)
        except SinkError as error:
            # What S3 says 400 to is the request, never a line of the object.
            raise SinkError(
                error.detail,
                denied=error.permanent or error.denied,
                retry_after_s=error.retry_after_s,
            ) from error


def _place(record: Outgoing) -> str:
    hour = record.created_at.astimezone(UTC)
    return f"tenant={record.tenant_id}/kind={record.kind.value}/date={hour:%Y-%m-%d}/hour={hour:%H}"


def _check(values: Mapping[str, Any], _: Mapping[str, str], settings: Settings) -> None:
    if values.get("endpoint"):
        check_url(values["endpoint"], settings)


S3 = SinkKind(
    name="s3",
    words="JSON lines in an S3 bucket, by hour, compressed.",
    opener=S3Sink,
    check=_check,
    asked=(
        Asked(name="bucket", words="Its name.", required=True),
        Asked(name="region", words="Of the bucket.", default="us-east-1"),
        Asked(name="prefix", words="Before the names of all objects."),
        Asked(name="endpoint", words="https://… of a store that is not Amazon's."),
        Asked(name="access_key_id", words="Of a user that may put objects there.", required=True),
        Asked(name="secret_access_key", words="Of that user.", secret=True, required=True),
        *TLS_ASKED,
    ),
    pause_s=60.0,
    drops_repeats=True,
)
