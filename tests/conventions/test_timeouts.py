"""Every call to another host has a timeout: one that never answers must hold no thread for good."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# What opens a connection, by the end of its dotted name, and what bounds how long it takes.
CALLS: dict[str, tuple[str, ...]] = {
    **{f"requests.{verb}": ("timeout",) for verb in ("get", "post", "put", "patch", "delete")},
    **{f"requests.{verb}": ("timeout",) for verb in ("head", "options", "request")},
    **{f"httpx.{verb}": ("timeout",) for verb in ("get", "post", "put", "patch", "delete")},
    **{f"httpx.{kind}": ("timeout",) for kind in ("request", "stream", "Client", "AsyncClient")},
    **dict.fromkeys(("HTTPConnection", "HTTPSConnection", "urlopen"), ("timeout",)),
    **dict.fromkeys(("SMTP", "SMTP_SSL", "create_connection"), ("timeout",)),
    "redis.Redis": ("socket_timeout",),
    "Redis.from_url": ("socket_timeout",),
    "psycopg2.connect": ("connect_timeout",),
    "create_engine": ("connect_args",),
    "kombu.Connection": ("connect_timeout",),
    "amqp.Connection": ("connect_timeout",),
}
SESSION_VERBS = {"get", "post", "put", "patch", "delete", "head", "options", "request", "send"}


def sources() -> list[Path]:
    """All that runs in production or for development."""
    return [path for folder in ("app", "tasks") for path in (ROOT / folder).rglob("*.py")]


def calls_without_timeout(text: str) -> Iterator[str]:
    """The calls that connect and say nothing of how long, by line and name.

    Keywords that are spread (**options) count as saying it: who builds them is looked at by name.
    """
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        wanted = next((CALLS[end] for end in CALLS if _ends(name, end)), None)
        if wanted is None and _is_session_call(node):
            wanted = ("timeout",)
        if wanted is None:
            continue
        given = {keyword.arg for keyword in node.keywords}
        if None not in given and not given & set(wanted):
            yield f"{node.lineno}: {name}"


def _ends(name: str, end: str) -> bool:
    return name == end or name.endswith(f".{end}")


def _is_session_call(node: ast.Call) -> bool:
    """Whether it is a verb of something that is called a session of HTTP."""
    function = node.func
    if not isinstance(function, ast.Attribute) or function.attr not in SESSION_VERBS:
        return False
    return ast.unparse(function.value).endswith(("http", "http_session", "requests.Session()"))


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_call_out_has_a_timeout(path: Path) -> None:
    """Said where the call is."""
    assert list(calls_without_timeout(path.read_text())) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("requests.get(url)", 1),
        ("requests.get(url, timeout=3)", 0),
        ("httpx.Client()", 1),
        ("urllib.request.urlopen(url)", 1),
        ("urlopen(url, timeout=1)", 0),
        ("smtplib.SMTP(host)", 1),
        ("socket.create_connection(address)", 1),
        ("http.client.HTTPSConnection(host)", 1),
        ("redis.Redis.from_url(url)", 1),
        ("redis.Redis.from_url(url, **options)", 0),
        ("psycopg2.connect(url)", 1),
        ("create_engine(url)", 1),
        ("self._http.post(url)", 1),
        ("self.http.post(url)", 1),
        ("shelf.get(url)", 0),
    ],
)
def test_the_reader_of_the_code_finds_what_it_looks_for(text: str, found: int) -> None:
    """So that no news is good news."""
    assert len(list(calls_without_timeout(text))) == found
