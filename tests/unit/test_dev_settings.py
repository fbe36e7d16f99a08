"""What `make run` reads from its environment and passes on."""

from pathlib import Path

import pytest

from app.dev.errors import SettingInvalid
from app.dev.settings import RunSettings, as_shell, children_environment

ROOT = Path("/checkout")


def test_nothing_given_means_port_8000_and_servers_of_our_own() -> None:
    """The defaults are those of the documentation."""
    settings = RunSettings.from_environment(ROOT, {})
    assert settings.port == 8000
    assert settings.data_dir == ROOT / ".data"
    assert not settings.database_urls
    assert settings.redis_url == ""


@pytest.mark.parametrize("text", ["abc", "0", "65536", "-1", "80.5"])
def test_a_port_that_is_none_is_refused_by_name(text: str) -> None:
    """The sentence names PORT, the range and the value."""
    with pytest.raises(SettingInvalid, match=f"PORT must be .* 1 to 65535, not '{text}'"):
        RunSettings.from_environment(ROOT, {"PORT": text})


def test_a_given_database_brings_only_the_roles_given_with_it() -> None:
    """The application itself warns about roles that are missing."""
    given = {"DATABASE_URL": "postgresql://a/b", "OWNER_DATABASE_URL": "postgresql://o/b"}
    assert RunSettings.from_environment(ROOT, given).database_urls == given


def test_role_urls_without_a_database_are_ignored() -> None:
    """Left over from another shell, they must not reach the embedded stack's children."""
    stale = {"OWNER_DATABASE_URL": "postgresql://elsewhere/b"}
    assert not RunSettings.from_environment(ROOT, stale).database_urls
    assert "OWNER_DATABASE_URL" not in children_environment({}, stale)


def test_children_are_told_where_everything_is() -> None:
    """Port, data directory (absolute), demo mode, broker and databases."""
    settings = RunSettings.from_environment(ROOT, {"PORT": "8001", "OPSLEDGER_DATA_DIR": "d"})
    given = {"OPSLEDGER_STREAM_PORT": "8123"}
    told = settings.children_settings({"DATABASE_URL": "postgresql://a/b"}, "redis://r/0", given)
    assert told == {
        "DATABASE_URL": "postgresql://a/b",
        "REDIS_URL": "redis://r/0",
        "OPSLEDGER_BROKER_URL": "",
        "PORT": "8001",
        "OPSLEDGER_HOST": "127.0.0.1",
        "OPSLEDGER_DATA_DIR": "/checkout/d",
        "OPSLEDGER_DEMO": "1",
        **given,
    }


def test_settings_as_shell_lines_are_quoted_where_a_shell_would_interpret() -> None:
    """A URL may hold `&` and `$`."""
    assert as_shell({"A": "plain", "B": "x&y$z"}) == "A=plain\nB='x&y$z'\n"
