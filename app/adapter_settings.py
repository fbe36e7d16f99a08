"""The adapter's settings: which provider serves whom, and how providers are called."""

from dataclasses import dataclass

from .archive_settings import ArchiveSettings
from .setting_types import seconds, whole
from .setting_types import setting as _setting


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterSettings(ArchiveSettings):
    """Settings of calls to providers; part of Settings."""

    default_providers: str = _setting(
        "OPSLEDGER_DEFAULT_PROVIDERS",
        "",
        "CAPABILITY=PROVIDER,…",
        "The provider of each capability for tenants that have no account of their own, as"
        " knowledge=local. Those not named: sandbox.",
    )
    credential_keys: str = _setting(
        "OPSLEDGER_CREDENTIAL_KEYS",
        "",
        "secret",
        "Encrypt the tenants' credentials: keys of `flask providers new-key` parted by commas, the"
        " newest first. Empty: none can be kept.",
    )
    provider_timeout_s: float = _setting(
        "OPSLEDGER_PROVIDER_TIMEOUT_S",
        10.0,
        "s",
        "Longest wait for one answer of a provider; an account may name its own.",
        seconds,
    )
    provider_attempts_max: int = _setting(
        "OPSLEDGER_PROVIDER_ATTEMPTS_MAX",
        3,
        "attempts",
        "Of one call, the first included; only what is safe to repeat is tried again.",
        whole(1, 10),
    )
    provider_backoff_s: float = _setting(
        "OPSLEDGER_PROVIDER_BACKOFF_S",
        0.2,
        "s",
        "Longest pause before a second attempt, drawn by chance; it doubles for each further one.",
        seconds,
    )
    provider_wait_s_max: float = _setting(
        "OPSLEDGER_PROVIDER_WAIT_S_MAX",
        2.0,
        "s",
        "Longest pause between attempts: a web thread waits. A provider whose Retry-After asks for"
        " more is not asked again, and our caller is told.",
        seconds,
    )
    provider_failures_max: int = _setting(
        "OPSLEDGER_PROVIDER_FAILURES_MAX",
        10,
        "failures",
        "In a row, of one tenant at one provider: then it is left alone for a while.",
        whole(1),
    )
    provider_rest_s: float = _setting(
        "OPSLEDGER_PROVIDER_REST_S",
        30.0,
        "s",
        "How long a failing provider is left alone before one call tries it again.",
        seconds,
    )
    sandbox_faults: str = _setting(
        "OPSLEDGER_SANDBOX_FAULTS",
        "",
        "N:FAULTS",
        "Every Nth operation at the sandbox has these faults, as 10:500,ok; for trials. Empty:"
        " none.",
    )
