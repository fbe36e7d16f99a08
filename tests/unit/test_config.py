"""Settings: typed, complete, and a bad one is refused by its name."""

from pathlib import Path
from typing import Any

import pytest

from app.config import InvalidSetting, Settings, load_settings, setting_fields

WITHOUT_PREFIX = {
    *(
        "DATABASE_READ_URL",
        "DATABASE_URL",
        "WORKER_DATABASE_URL",
        "MAINTENANCE_DATABASE_URL",
        "OWNER_DATABASE_URL",
    ),
    "REDIS_URL",
}


def test_an_empty_environment_gives_the_defaults() -> None:
    """As section 6 of the design names them."""
    settings = load_settings({})
    assert settings == Settings()
    assert settings.batch_rows_max == 500
    assert settings.flush_interval_ms == 50
    assert settings.payload_bytes_max == 64 * 1024
    assert settings.spool_bytes_max == 1024**3
    assert settings.trusted_proxies == 0
    assert settings.demo is False


def test_without_an_argument_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the process."""
    monkeypatch.setenv("OPSLEDGER_BATCH_ROWS_MAX", "7")
    assert load_settings().batch_rows_max == 7


def test_every_setting_has_a_name_a_unit_a_reason_and_a_valid_default() -> None:
    """They are the documentation's table; each name stands once, under our prefix."""
    names = [item.metadata["name"] for item in setting_fields()]
    assert len(set(names)) == len(names)
    for item in setting_fields():
        name = item.metadata["name"]
        assert name in WITHOUT_PREFIX or name.startswith("OPSLEDGER_")
        assert item.metadata["unit"]
        assert item.metadata["reason"].endswith(".")
        if item.default not in ("", ()):
            text = str(int(item.default)) if isinstance(item.default, bool) else str(item.default)
            assert getattr(load_settings({name: text}), item.name) == item.default


@pytest.mark.parametrize("name", [item.metadata["name"] for item in setting_fields()])
def test_a_blank_setting_is_the_default(name: str) -> None:
    """As compose files and unit files leave them."""
    assert load_settings({name: ""}) == Settings()


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("OPSLEDGER_DATA_DIR", "/var/lib/x", "data_dir", Path("/var/lib/x")),
        ("OPSLEDGER_SPOOL_RESERVE_BYTES", "0", "spool_reserve_bytes", 0),
        ("OPSLEDGER_CONFIRM_TIMEOUT_S", "0.5", "confirm_timeout_s", 0.5),
        ("OPSLEDGER_TRUSTED_PROXIES", "2", "trusted_proxies", 2),
        ("OPSLEDGER_EXTERNAL_ID_KEY", "x" * 32, "external_id_key", None),
        ("OPSLEDGER_DEMO", "Yes", "demo", True),
        ("OPSLEDGER_DEMO", " ON ", "demo", True),
        ("OPSLEDGER_DEMO", "false", "demo", False),
        ("REDIS_URL", "sentinel://a:1;sentinel://b", "redis_url", None),
        ("OPSLEDGER_BROKER_URL", "amqps://u:p@a//;amqps://u:p@b//", "broker_url", None),
        ("DATABASE_URL", "postgres://u@h/d", "database_url", "postgresql+psycopg2://u@h/d"),
        ("DATABASE_URL", "postgresql://u@h/d", "database_url", "postgresql+psycopg2://u@h/d"),
        ("OWNER_DATABASE_URL", "postgresql+psycopg2://o@h/d", "owner_database_url", None),
    ],
)
def test_a_setting_is_read_in_its_type(name: str, text: str, field: str, value: Any) -> None:
    """Numbers, folders, truth, and the URLs that hosts hand out."""
    expected = text if value is None else value
    assert getattr(load_settings({name: text}), field) == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("OPSLEDGER_BATCH_ROWS_MAX", "0"),
        ("OPSLEDGER_BATCH_ROWS_MAX", "-1"),
        ("OPSLEDGER_BATCH_ROWS_MAX", "many"),
        ("OPSLEDGER_BATCH_ROWS_MAX", "1.5"),
        ("OPSLEDGER_TRUSTED_PROXIES", "-1"),
        ("OPSLEDGER_TRUSTED_PROXIES", "one"),
        ("OPSLEDGER_QUERY_TIMEOUT_S", "0"),
        ("OPSLEDGER_QUERY_TIMEOUT_S", "nan"),
        ("OPSLEDGER_QUERY_TIMEOUT_S", "inf"),
        ("OPSLEDGER_QUERY_TIMEOUT_S", "soon"),
        ("OPSLEDGER_DEMO", "maybe"),
        ("OPSLEDGER_LOG_LEVEL", "LOUD"),
        ("OPSLEDGER_PAYLOAD_BYTES_MAX", "1048577"),
        ("OPSLEDGER_EXTERNAL_ID_KEY", "x" * 31),
        ("OPSLEDGER_HOT_DAYS", "0"),
        ("REDIS_URL", "amqp://h//"),
        ("REDIS_URL", "localhost:6379"),
        ("REDIS_URL", "redis://h:port/0"),
        ("REDIS_URL", "redis://a/0;redis://b/0"),
        ("OPSLEDGER_BROKER_URL", "http://h/"),
        ("OPSLEDGER_BROKER_URL", "amqp://a//;sentinel://b"),
    ],
)
def test_a_bad_setting_is_refused_by_its_name_and_value(name: str, text: str) -> None:
    """The sentence also says what it takes."""
    with pytest.raises(InvalidSetting, match=f"^{name}='{text}' is not valid: ."):
        load_settings({name: text})


def test_what_is_refused_is_shown_without_its_password() -> None:
    """The sentence ends in a log."""
    with pytest.raises(InvalidSetting) as refused:
        load_settings({"OPSLEDGER_BROKER_URL": "amqp://u:secret@a//;redis://:secret@b/0"})
    assert "secret" not in str(refused.value)
    assert "amqp://***@a//;redis://***@b/0" in str(refused.value)


def test_each_role_has_its_url_or_shares_the_one_given() -> None:
    """What is lost by sharing can be told."""
    shared = load_settings({"DATABASE_URL": "postgresql://a@h/d"})
    assert {shared.url_of(role) for role in ("web", "worker", "maintenance", "owner")} == {
        "postgresql+psycopg2://a@h/d"
    }
    assert shared.roles_without_url == ["worker", "maintenance", "owner"]
    own = load_settings({"WORKER_DATABASE_URL": "postgres://w@h/d"})
    assert own.url_of("worker") == "postgresql+psycopg2://w@h/d"
    assert own.url_of("web") == Settings().database_url
    assert own.roles_without_url == ["maintenance", "owner"]


def test_the_spool_lies_in_the_data_folder() -> None:
    """Of this host."""
    assert Settings(data_dir=Path("/d")).spool_dir == Path("/d/spool")
