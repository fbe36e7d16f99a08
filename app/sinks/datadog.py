"""Datadog: the logs intake, version 2, within its limits (5 MB, 1,000 entries, 1 MB each)."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..config import Settings
from ..domain.codec import dump_json
from ..domain.forwarding import Outgoing
from ..domain.identity import format_time
from .http import Poster, check_url
from .protocol import COMPRESS, TLS_ASKED, Account, Asked, Receipt, SinkKind

ROWS_MAX = 1000
ENTRY_BYTES_MAX = 1_000_000
OVERHEAD_BYTES = 1_000  # of what an entry has besides the record
BYTES_MAX = 5_000_000 - 500_000  # of a request before compression; the rest is overhead
SITES = (
    *("datadoghq.com", "us3.datadoghq.com", "us5.datadoghq.com", "datadoghq.eu"),
    *("ap1.datadoghq.com", "ap2.datadoghq.com", "ddog-gov.com"),
)


class DatadogSink:
    """POSTs arrays of entries."""

    rows_max = ROWS_MAX // 2  # an entry of any size has its overhead
    bytes_max = BYTES_MAX
    record_bytes_max = ENTRY_BYTES_MAX - OVERHEAD_BYTES

    def __init__(self, account: Account) -> None:
        values = account.values
        self._poster = Poster(account)
        intake = f"https://http-intake.logs.{values['site']}"
        self._url = f"{(values.get('url') or intake).rstrip('/')}/api/v2/logs"
        self._headers = {
            "Content-Type": "application/json",
            "DD-API-KEY": account.secrets["api_key"],
        }
        self._service, self._tags = values["service"], values.get("tags") or ""

    def deliver(self, records: Sequence[Outgoing]) -> Receipt:
        """Deliver one batch, all of which counts or none."""
        body = dump_json([self._entry(record) for record in records])
        return Receipt(words=self._poster.post(self._url, body, self._headers).words)

    def close(self) -> None:
        """Let go of connections."""
        self._poster.close()

    def _entry(self, record: Outgoing) -> dict[str, Any]:
        failed = record.values.get("status") in {"failure", "timeout"}
        tags = [f"kind:{record.kind.value}", f"tenant:{record.tenant_id}", self._tags]
        return {
            "ddsource": "opsledger",
            "ddtags": ",".join(filter(None, tags)),
            "service": self._service,
            "hostname": "opsledger",
            "message": summary_of(record),
            "status": "error" if failed else "info",
            "timestamp": format_time(record.created_at),
            "opsledger": record.document,
        }


def summary_of(record: Outgoing) -> str:
    """One line about a record."""
    told = record.values
    parts = [told.get("action_type") or told.get("action") or record.kind.value]
    parts += [told.get("provider_name"), told.get("status"), told.get("error_message")]
    parts += [told.get("resource_type"), told.get("resource_id")]
    return " ".join(str(part) for part in parts if part)[:1000]


def _check(values: Mapping[str, Any], _: Mapping[str, str], settings: Settings) -> None:
    if values.get("url"):
        check_url(values["url"], settings)


DATADOG = SinkKind(
    name="datadog",
    words="The logs intake of Datadog, version 2.",
    opener=DatadogSink,
    check=_check,
    asked=(
        Asked(
            name="site",
            words="Of your organisation.",
            kind="choice",
            default=SITES[0],
            choices=SITES,
        ),
        Asked(name="api_key", words="An API key, no application key.", secret=True, required=True),
        Asked(name="service", words="As it is shown there.", default="opsledger"),
        Asked(name="tags", words="Further tags: env:prod,team:crm."),
        Asked(name="url", words="Of a proxy of the intake, in place of the site's."),
        COMPRESS,
        *TLS_ASKED,
    ),
)
