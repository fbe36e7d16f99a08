"""Messages reach their channels, signed, again until they are taken, and nowhere they must not."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text
from uuid_utils.compat import uuid7

from app.channels import Message, check_target, send
from app.config import Settings
from app.dev.server import free_port
from app.errors import ChannelError
from app.pipeline.notifying import TRIES_MAX, deliver_messages
from app.signing import SECRET_PREFIX, sign
from app.store.session import Database
from app.vault import new_key
from tests.support.mail import mail_server
from tests.support.receiver import HERE, Receiver, receiving
from tests.support.watching import FAILURES, Watch
from tests.support.world import Inhabitant, World, action, opened, problem_of, refused_fields

CHANNELS, RULES = "/api/v1/alerts/channels", "/api/v1/alerts/rules"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def environment(own_environment: dict[str, str]) -> dict[str, str]:
    """A database of these tests alone: rules are evaluated for all tenants there are."""
    return own_environment


@pytest.fixture(scope="module")
def maintenance(own_maintenance: Database) -> Database:
    """All tenants of that database."""
    return own_maintenance


@pytest.fixture
def world(settings: Settings, maintenance: Database) -> Iterator[World]:
    """An app that may send to this host."""
    with opened(replace(settings, private_destinations=HERE), maintenance) as world:
        yield world


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def made(who: Inhabitant, target: str, kind: str = "webhook") -> dict[str, Any]:
    """A channel, as the API makes it."""
    body = {"name": f"by {kind}", "kind": kind, "target": target}
    response = who.post(CHANNELS, json=body)
    assert response.status_code == 201, response.text
    channel: dict[str, Any] = response.json
    return channel


def deliver(world: World, ahead: timedelta = timedelta(0)) -> int:
    settings = world.opsledger.settings
    return deliver_messages(world.maintenance, settings, clock=lambda: datetime.now(UTC) + ahead)


def deliveries(who: Inhabitant) -> list[tuple[str, str, int]]:
    found = who.get("/api/v1/alerts/deliveries").json
    return [(one["event"], one["state"], one["attempts"]) for one in found]


def trouble(world: World, who: Inhabitant) -> datetime:
    """Twelve failures just now."""
    now = datetime.now(UTC)
    world.put(
        *(action(who.tenant_id, at=now - timedelta(seconds=n), status="failure") for n in range(12))
    )
    return now


def test_an_alert_is_told_once_when_it_fires_and_once_when_it_is_over(
    world: World, receiver: Receiver
) -> None:
    """Whatever is evaluated and delivered in between."""
    who = world.settle()
    made(who, receiver.url)
    watch = Watch(world.maintenance, who.tenant_id)
    now = trouble(world, who)
    for seconds in (1, 16, 31):
        watch.look(now + timedelta(seconds=seconds))
        deliver(world)
    (message,) = [json.loads(body) for _, body in receiver.got]
    (told,) = message["alerts"]
    assert (told["rule"], told["event"], told["value"]) == (FAILURES, "fired", 12)
    assert (message["type"], message["tenant"]) == ("alerts", who.slug)
    for minutes in (6, 8):
        watch.look(now + timedelta(minutes=minutes))
        deliver(world)
    assert [json.loads(body)["alerts"][0]["event"] for _, body in receiver.got] == [
        "fired",
        "resolved",
    ]


def test_the_lines_of_the_guide_verify_a_signature_and_refuse_others(
    world: World, receiver: Receiver
) -> None:
    """The receiver's code stands in docs/alerts.md, and runs here as it stands there."""
    who = world.settle()
    secret = made(who, receiver.url)["secret"]
    trouble(world, who)
    Watch(world.maintenance, who.tenant_id).look(datetime.now(UTC) + timedelta(seconds=1))
    deliver(world)
    (code,) = re.findall(
        r"```python\n(.*?def verify.*?)```", (ROOT / "docs" / "alerts.md").read_text(), re.DOTALL
    )
    assert len(code.strip().splitlines()) <= 12
    scope: dict[str, Any] = {}
    exec(code, scope)
    ((headers, body),) = receiver.got
    assert scope["verify"](secret, headers, body)
    assert not scope["verify"](secret, headers, body + b" ")
    assert not scope["verify"](SECRET_PREFIX + "AAAA", headers, body)
    old = {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) - 600)}
    resigned = sign(secret, old["webhook-id"], int(old["webhook-timestamp"]), body)
    assert not scope["verify"](secret, {**old, "webhook-signature": resigned}, body)


def test_a_message_that_is_not_taken_is_sent_again_under_its_id(
    world: World, receiver: Receiver
) -> None:
    """After a pause that grows; and then no more."""
    who = world.settle()
    channel = made(who, receiver.url)
    assert who.post(f"{CHANNELS}/{channel['id']}/test").status_code == 202
    receiver.status = 503
    deliver(world)
    assert deliver(world) == 0  # not yet
    assert deliveries(who) == [("test", "queued", 1)]
    receiver.status = 200
    deliver(world, timedelta(seconds=11))
    deliver(world, timedelta(hours=9))
    assert deliveries(who) == [("test", "sent", 2)]
    first, second = (headers["webhook-id"] for headers, _ in receiver.got)
    assert first == second


@pytest.mark.parametrize(("status", "tries"), [(404, 1), (500, TRIES_MAX), (302, TRIES_MAX)])
def test_a_message_is_given_up(world: World, receiver: Receiver, status: int, tries: int) -> None:
    """At once where the answer is final, else after hours; a redirect is not followed."""
    who = world.settle()
    channel = made(who, receiver.url)
    receiver.status, receiver.headers = status, {"Location": receiver.url}
    who.post(f"{CHANNELS}/{channel['id']}/test")
    for hour in range(2 * TRIES_MAX):
        deliver(world, timedelta(hours=2 * hour))
    assert deliveries(who) == [("test", "dead", tries)]
    assert len(receiver.got) == tries
    assert str(status) in who.get("/api/v1/alerts/deliveries").json[0]["answer"]


def test_nobody_there_is_no_end(world: World) -> None:
    """It is tried again; a deleted channel is given up."""
    who = world.settle()
    channel = made(who, f"http://127.0.0.1:{free_port()}/")
    who.post(f"{CHANNELS}/{channel['id']}/test")
    deliver(world)
    assert deliveries(who) == [("test", "queued", 1)]
    assert who.delete(f"{CHANNELS}/{channel['id']}").status_code == 204
    deliver(world, timedelta(hours=1))
    assert deliveries(who) == [("test", "dead", 2)]


def test_a_message_whose_sender_died_is_sent_by_another(world: World, receiver: Receiver) -> None:
    """Its claim ends after a minute."""
    from app.store.deliveries import claim_due

    who = world.settle()
    channel = made(who, receiver.url)
    who.post(f"{CHANNELS}/{channel['id']}/test")
    with world.maintenance.unrestricted_unsafe() as session:
        claimed = claim_due(session, now=datetime.now(UTC), lease_s=60, limit=1000)
    assert channel["id"] in {str(one.channel_id) for one in claimed}
    deliver(world)
    assert receiver.got == []
    deliver(world, timedelta(seconds=61))
    assert len(receiver.got) == 1


@pytest.mark.parametrize(
    "target",
    [
        "http://example.com/",
        "https://127.0.0.1/",
        "https://localhost/",
        "https://10.1.2.3/x",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://0.0.0.0/",
        "https://2130706433/",
        "https://user:password@example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "https://",
        "https://exa mple.com/",
        "https://example.com/\r\nX: y",
        "https://example.com:99999/",
    ],
)
def test_a_webhook_leads_to_no_place_of_our_own(
    settings: Settings, maintenance: Database, target: str
) -> None:
    """Refused when it is sent, whatever was made before."""
    from app.channels.webhook import send_webhook
    from tests.support.messages import a_message

    with pytest.raises(ChannelError) as refused:
        send_webhook(target, SECRET_PREFIX, a_message(), settings)
    assert refused.value.permanent


def test_a_name_that_leads_here_is_refused_when_it_is_sent_to(
    settings: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is judged is the address, not the name."""
    import socket

    from app.channels.webhook import send_webhook
    from tests.support.messages import a_message

    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda _, *rest, **more: real("127.0.0.1", *rest, **more)
    )
    port = receiver.url.split(":")[2].split("/")[0]
    with pytest.raises(ChannelError, match="not a public address"):
        send_webhook(f"https://hooks.example.com:{port}/", SECRET_PREFIX, a_message(), settings)
    assert receiver.got == []


def test_channels_show_nothing_secret_and_refuse_what_cannot_be(world: World) -> None:
    """Neither target nor secret comes back, and no other tenant sees the channel."""
    who, other = world.settle(), world.settle()
    channel = made(who, "https://hooks.slack.example/T000/B000/XXXX")
    assert channel["secret"].startswith(SECRET_PREFIX)
    shown = who.get(CHANNELS).text
    assert "XXXX" not in shown
    assert channel["secret"] not in shown
    assert other.get(CHANNELS).json == []
    problem_of(other.post(f"{CHANNELS}/{channel['id']}/test"), 404)
    problem_of(other.delete(f"{CHANNELS}/{channel['id']}"), 404)
    name = {"name": channel["name"], "kind": "webhook", "target": "https://example.com/"}
    problem_of(who.post(CHANNELS, json=name), 409)
    for kind, target in (("email", "not an address"), ("apprise", "nonsense"), ("webhook", "x")):
        body = {"name": "x", "kind": kind, "target": target}
        assert list(refused_fields(who.post(CHANNELS, json=body))) == ["target"]
    body = {"name": "x", "kind": "pigeon", "target": "x"}
    assert "webhook, email, apprise" in refused_fields(who.post(CHANNELS, json=body))["kind"]


def test_an_e_mail_is_sent_by_the_server_of_the_settings(
    settings: Settings, maintenance: Database
) -> None:
    """With a subject that says it and a line for each alert."""
    with mail_server() as (port, mails):
        ours = replace(settings, smtp_url=f"smtp://127.0.0.1:{port}", smtp_from="log@example.com")
        with opened(ours, maintenance) as world:
            who = world.settle()
            made(who, "ops@example.com", "email")
            trouble(world, who)
            now = datetime.now(UTC) + timedelta(seconds=1)
            Watch(maintenance, who.tenant_id).look(now)
            deliver(world)
        (mail,) = mails
    assert "To: ops@example.com" in mail
    assert f"[warning] {FAILURES}: fired ({who.slug})" in re.sub(r"\r?\n ", " ", mail)
    assert "12 against 10 in 300 s" in mail.replace("=\r\n", "").replace("=\n", "")


def test_services_of_apprise_are_sent_to_and_those_of_this_machine_refused(
    world: World, receiver: Receiver, settings: Settings
) -> None:
    """By its own json:// service, which needs no account."""
    who = world.settle()
    channel = made(who, receiver.url.replace("http://", "json://"), "apprise")
    assert channel["shown"] == "json://…"
    who.post(f"{CHANNELS}/{channel['id']}/test")
    deliver(world)
    ((_, body),) = receiver.got
    assert json.loads(body)["title"] == f"Opsledger: a test message for {who.slug}"
    assert deliveries(who) == [("test", "sent", 1)]
    for target in ("syslog://", "json://127.0.0.1/", "dbus://"):
        with pytest.raises(ChannelError):
            check_target("apprise", target, settings)


def test_what_is_secret_of_a_channel_lies_encrypted_and_moves_to_a_fresh_key(
    world: World, receiver: Receiver
) -> None:
    """Also that of a channel from before, once the keys are rotated."""
    who = world.settle()
    channel = made(who, receiver.url)
    body = {"name": "old", "kind": "webhook", "target": f"{receiver.url}&old=1"}
    old = who.post(CHANNELS, json=body).json
    in_the_clear = text(
        "UPDATE alert_channels SET target = :t, secret = :s, credentials = NULL WHERE id = :id"
    )
    stored = text("SELECT target, secret, credentials FROM alert_channels WHERE tenant_id = :t")
    with world.maintenance.unrestricted_unsafe() as session:
        session.execute(in_the_clear, {"t": body["target"], "s": old["secret"], "id": old["id"]})
    fresh, settings = new_key(), world.opsledger.settings
    both = replace(settings, credential_keys=f"{fresh},{settings.credential_keys}")
    with opened(both, world.maintenance) as rotating:
        said = rotating.app.test_cli_runner().invoke(args=["providers", "rotate-keys"])
        assert re.search(r"of \d+ channels", said.output), said.output
    with world.maintenance.unrestricted_unsafe() as session:
        rows = session.execute(stored, {"t": who.tenant_id}).all()
    for target, secret, credentials in rows:
        assert (target, secret) == ("", None)
        locked = bytes(credentials)
        assert b"hook" not in locked
        assert channel["secret"].encode() not in locked
    for one in (channel, old):
        who.post(f"{CHANNELS}/{one['id']}/test")
    stranger = replace(settings, credential_keys=new_key())
    deliver_messages(world.maintenance, stranger, clock=partial(datetime.now, UTC))
    assert receiver.got == []
    later = datetime.now(UTC) + timedelta(minutes=2)
    ours = replace(settings, credential_keys=fresh)
    deliver_messages(world.maintenance, ours, clock=lambda: later)
    assert deliveries(who) == [("test", "sent", 2)] * 2
    for headers, sent in receiver.got:
        timestamp = int(headers["webhook-timestamp"])
        signatures = {
            sign(one["secret"], headers["webhook-id"], timestamp, sent) for one in (channel, old)
        }
        assert headers["webhook-signature"] in signatures


def test_without_a_key_no_secret_is_kept(settings: Settings, maintenance: Database) -> None:
    """A webhook is refused, by the API and by the command; an e-mail address is none."""
    bare = replace(
        settings, credential_keys="", private_destinations=HERE, smtp_url="smtp://127.0.0.1:9"
    )
    with opened(bare, maintenance) as world:
        who = world.settle()
        body = {"name": "hook", "kind": "webhook", "target": "http://127.0.0.1:9/x"}
        refused = refused_fields(who.post(CHANNELS, json=body))
        assert "OPSLEDGER_CREDENTIAL_KEYS" in refused["target"]
        command = ["alerts", "add-channel", who.slug, "hook", "webhook", body["target"]]
        said = world.app.test_cli_runner().invoke(args=command)
        assert (said.exit_code, "OPSLEDGER_CREDENTIAL_KEYS" in said.output) == (1, True)
        made(who, "ops@example.com", "email")


def test_a_name_that_leads_elsewhere_once_it_was_judged_gains_nothing(
    settings: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Public when asked the first time, this machine when the library asks; nor does a redirect."""
    message = Message(
        id=uuid7(), tenant="t", event="test", created_at=datetime.now(UTC), payload={}
    )
    port = urlsplit(receiver.url).port
    monkeypatch.setattr("app.channels.apprise._judge", lambda *_: None)  # it was public then
    with pytest.raises(ChannelError) as refused:
        send("apprise", f"json://127.0.0.1:{port}/", None, message, settings)
    assert "not a public address" in str(refused.value.detail)
    assert refused.value.permanent
    assert receiver.got == []
    allowed = replace(settings, private_destinations=("127.0.0.1/32",))
    receiver.status, receiver.headers = 307, {"Location": f"http://127.0.0.2:{port}/"}
    with pytest.raises(ChannelError) as redirected:
        send("apprise", f"json://127.0.0.1:{port}/", None, message, allowed)
    assert "127.0.0.2" in redirected.value.detail
    assert len(receiver.got) == 1


def test_nobody_is_told_of_what_is_muted_or_silenced(world: World, receiver: Receiver) -> None:
    """A muted rule, a silenced alert; both go on with their lives."""
    who = world.settle()
    made(who, receiver.url)
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    for rule in who.get(RULES).json:
        assert who.patch(f"{RULES}/{rule['id']}", json={"muted_until": until}).status_code == 200
    trouble(world, who)
    (alert,) = Watch(world.maintenance, who.tenant_id).look(
        datetime.now(UTC) + timedelta(seconds=1)
    )
    deliver(world)
    assert (alert.state, receiver.got) == ("firing", [])


def test_reminders_come_until_somebody_acknowledges(world: World, receiver: Receiver) -> None:
    """Each hour, say."""
    who = world.settle()
    made(who, receiver.url)
    rule = next(one for one in who.get(RULES).json if one["name"] == FAILURES)
    changes = {"renotify_s": 60, "window_s": 3600}
    assert who.patch(f"{RULES}/{rule['id']}", json=changes).status_code == 200
    watch = Watch(world.maintenance, who.tenant_id)
    now = trouble(world, who) + timedelta(seconds=1)
    (alert,) = watch.look(now)
    watch.look(now + timedelta(seconds=30))
    watch.look(now + timedelta(seconds=61))
    assert who.post(f"/api/v1/alerts/{alert.id}/acknowledge").status_code == 200
    watch.look(now + timedelta(seconds=200))
    deliver(world)
    told = [json.loads(body)["alerts"][0]["event"] for _, body in receiver.got]
    assert sorted(told) == ["fired", "reminded"]
    shown = who.get(f"/api/v1/alerts/{alert.id}").json
    happened = sorted(event["event"] for event in shown["events"])  # some at times made up here
    assert happened == ["acknowledged", "fired", "reminded"]
    assert shown["acknowledged_by"].startswith("key:")
