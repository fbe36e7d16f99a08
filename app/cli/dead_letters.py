"""flask dead-letters: records that could not be stored, to look at, to try again, to give up."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any
from uuid import UUID

import click
from flask.cli import AppGroup

from ..domain.access import OPERATOR_TENANT_ID
from ..domain.codec import decode
from ..errors import StoreUnavailable
from ..pipeline.persist import Outcome, Persister
from ..store import dead_letters as store
from ..store.dead_letters import KeptLetter
from ..store.session import Database
from ..store.tenants import find_tenant
from .support import audit, maintaining, print_table, settings

PAGE_LETTERS = 100  # ids read at a time by --all
LETTER_IDS = click.IntRange(1, 2**63 - 1)  # bigint

dead_letters = AppGroup(
    "dead-letters", help="Look at records that could not be stored, and try them again."
)


@dead_letters.command("list")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
def list_letters(limit: int) -> None:
    """List the newest dead letters with their reasons."""
    with maintaining() as session:
        letters = store.list_letters(session, limit)
    rows = [(row.id, row.created_at, row.kind, row.tenant_id, row.reason) for row in letters]
    print_table(("ID", "TIME", "KIND", "TENANT", "REASON"), rows)


@dead_letters.command("show")
@click.argument("letter_id", metavar="ID", type=LETTER_IDS)
def show_letter(letter_id: int) -> None:
    """Show a dead letter: its record where it can be decoded, else its bytes."""
    letter = _letter(letter_id)
    for name in ("id", "created_at", "shipment_id", "reason"):
        click.echo(f"{name}: {getattr(letter, name)}")
    try:
        shown = json.dumps(asdict(decode(letter.payload)), indent=2, default=str)
    except ValueError:
        shown = repr(letter.payload)[2:-1]
    click.echo(shown)


@dead_letters.command("retry")
@click.argument("letter_ids", metavar="[ID]...", type=LETTER_IDS, nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every dead letter, oldest first.")
def retry_letters(letter_ids: tuple[int, ...], every: bool) -> None:
    """Try dead letters again, each alone, the way a worker stores a record.

    What is still refused stays, with the reason of this time; then the exit status is 1.
    """
    if bool(letter_ids) == every:
        raise click.UsageError("Name the letters by ID, or say --all.")
    database = Database.connect(settings().url_of("worker"))
    persister = Persister(database, hot_days=settings().hot_days)
    try:
        outcomes = [_retry(persister, one) for one in (_all_ids() if every else letter_ids)]
    except StoreUnavailable as error:
        raise click.ClickException(error.detail) from error
    finally:
        database.close()
    if not all(outcomes):
        raise click.exceptions.Exit(1)


@dead_letters.command("drop")
@click.argument("letter_ids", metavar="ID...", type=LETTER_IDS, nargs=-1, required=True)
@click.confirmation_option(prompt="These records will be lost for good. Drop them?")
def drop_letters(letter_ids: tuple[int, ...]) -> None:
    """Give dead letters up; the audit log keeps what they were, but not their payload."""
    for letter_id in letter_ids:
        letter = _letter(letter_id)
        with maintaining() as session:
            dropped = store.drop_letter(session, letter_id)
        if dropped:
            _audit("drop", letter, before=_described(letter))
        click.echo(f"{letter_id}: {'dropped' if dropped else 'gone already'}")


def _all_ids() -> Iterator[int]:
    """The ids of the letters there are now; one that fails does not come twice."""
    page, after = [0], 0
    while page:
        with maintaining() as session:
            page = store.letter_ids(session, after=after, limit=PAGE_LETTERS)
        yield from page
        after = page[-1] if page else after


def _retry(persister: Persister, letter_id: int) -> bool:
    """Try one letter and say what came of it; whether it is a letter no more."""
    letter = _find(letter_id)
    if letter is None:
        click.echo(f"{letter_id}: no such letter")
        return False
    try:
        outcome = persister.retry(letter_id, letter.payload)
    except LookupError:
        click.echo(f"{letter_id}: gone, somebody else was faster")
        return False
    said = _said(outcome, letter_id)
    _audit("retry", letter, before=_described(letter), after={"outcome": said})
    click.echo(f"{letter_id}: {said}")
    return not outcome.dead


def _said(outcome: Outcome, letter_id: int) -> str:
    if outcome.dead:
        letter = _find(letter_id)
        return f"still refused: {letter.reason if letter else 'and dropped meanwhile'}"
    return "stored" if outcome.inserted else "was in the ledger already"


def _letter(letter_id: int) -> KeptLetter:
    letter = _find(letter_id)
    if letter is None:
        raise click.ClickException(f"There is no dead letter {letter_id}")
    return letter


def _find(letter_id: int) -> KeptLetter | None:
    with maintaining() as session:
        return store.get_letter(session, letter_id)


def _described(letter: KeptLetter) -> dict[str, Any]:
    return {
        "reason": letter.reason,
        "kind": letter.kind,
        "tenant_id": letter.tenant_id and str(letter.tenant_id),
        "record_id": letter.record_id and str(letter.record_id),
        "bytes": len(letter.payload),
        "sha256": hashlib.sha256(letter.payload).hexdigest(),
    }


def _audit(action: str, letter: KeptLetter, **changes: dict[str, Any]) -> None:
    audit(_owner(letter.tenant_id), action, "dead_letter", str(letter.id), **changes)


def _owner(tenant_id: UUID | None) -> UUID:
    """Whose audit log an act belongs in: the operator's where the tenant does not exist."""
    with maintaining() as session:
        known = tenant_id is not None and find_tenant(session, str(tenant_id)) is not None
    return tenant_id if tenant_id is not None and known else OPERATOR_TENANT_ID
