"""The knowledge provider `local`: versions, ranking, highlights, tenants."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from app.config import Settings
from app.store.documents import DocumentRepository
from app.store.session import Database
from tests.support.world import Inhabitant, World, follow, opened, problem_of, refused_fields

DOCUMENTS = "/api/v1/knowledge/documents"


@pytest.fixture
def world(settings: Settings, maintenance: Database) -> Iterator[World]:
    """An app whose knowledge is kept here."""
    with opened(replace(settings, default_providers="knowledge=local"), maintenance) as made:
        yield made


@pytest.fixture
def who(world: World) -> Inhabitant:
    """A tenant without documents."""
    return world.settle()


def store(who: Inhabitant, title: str, text: str = "", **more: object) -> str:
    """A document's id."""
    response = who.post(DOCUMENTS, json={"title": title, "text": text, **more})
    assert response.status_code == 201, response.json
    made: str = response.json["id"]
    return made


def titles(who: Inhabitant, query: str) -> list[str]:
    """What a search finds, best first."""
    return [one["title"] for one in who.get(f"{DOCUMENTS}/search?q={query}").json]


def test_each_change_makes_a_version_and_keeps_the_one_before(
    world: World, who: Inhabitant, settings: Settings
) -> None:
    """Whole, with what was not changed."""
    first = {"title": "A", "text": "one", "tags": ["x"], "properties": {"a": {"b": [1, None]}}}
    document_id = store(who, **first)  # type: ignore[arg-type]
    path = f"{DOCUMENTS}/{document_id}"
    assert who.get(path).json["version"] == 1
    changed = who.patch(path, json={"text": "two"}).json
    assert (changed["version"], changed["text"], changed["tags"]) == (2, "two", ["x"])
    assert who.patch(path, json={"title": "B"}).json["version"] == 3
    with world.app.extensions["opsledger-service"].database.tenant(who.tenant_id) as session:
        versions = DocumentRepository(session, who.tenant_id).list_versions(document_id)
    assert versions == [(1, first), (2, {**first, "text": "two"})]
    assert who.delete(path).status_code == 204
    problem_of(who.get(path), 404)
    with world.app.extensions["opsledger-service"].database.tenant(who.tenant_id) as session:
        assert DocumentRepository(session, who.tenant_id).list_versions(document_id) == []


def test_a_search_ranks_and_highlights(who: Inhabitant) -> None:
    """Words in any form, those of the title first, and where they stand in the text."""
    store(who, "Shipping", "How parcels are sent. " * 20 + "A printer is mentioned once.")
    store(who, "Printers", "Printing: load the printer with paper.")
    store(who, "Holidays", "Nothing of the kind.")
    found = who.get(f"{DOCUMENTS}/search?q=printer").json
    assert [one["title"] for one in found] == ["Printers", "Shipping"]
    assert found[0]["score"] > found[1]["score"] > 0
    assert "**printer**" in found[0]["highlight"]
    assert "**printer**" in found[1]["highlight"]
    assert who.get(f"{DOCUMENTS}/{found[0]['id']}").json["score"] is None


def test_a_search_is_asked_as_on_the_web(who: Inhabitant) -> None:
    """Phrases, or, without; whatever is typed is no error."""
    store(who, "Red car")
    store(who, "Car that is red and blue")
    store(who, "Bicycle")
    assert titles(who, '"red car"') == ["Red car"]
    assert sorted(titles(who, "bicycle or blue")) == ["Bicycle", "Car that is red and blue"]
    assert titles(who, "car -blue") == ["Red car"]
    for odd in ("'", '"', "(", "a & | b", "!!", ":*", "\\", "\U0001f600"):
        assert who.get(f"{DOCUMENTS}/search", query_string={"q": odd}).status_code == 200


def test_a_search_is_paged(who: Inhabitant) -> None:
    """Each once, best first over all pages; a cursor that is none is refused."""
    made = {store(who, f"Manual {number}", "manual " * number) for number in range(1, 6)}
    pages = list(follow(who, f"{DOCUMENTS}/search?q=manual&limit=2"))
    shown = [one for page in pages for one in page]
    assert {one["id"] for one in shown} == made
    assert [one["score"] for one in shown] == sorted((one["score"] for one in shown), reverse=True)
    for odd in ("x", "-1", "99999999", store(who, "x")):
        response = who.get(f"{DOCUMENTS}/search?q=manual&after={odd}")
        assert "after" in refused_fields(response)
    assert "after" in refused_fields(who.get(f"{DOCUMENTS}?after=x"))


def test_documents_are_listed_newest_first(who: Inhabitant) -> None:
    """Each once."""
    made = [store(who, f"{number}") for number in range(5)]
    pages = list(follow(who, f"{DOCUMENTS}?limit=2"))
    assert [one["id"] for page in pages for one in page] == made[::-1]


def test_documents_of_another_tenant_do_not_exist(world: World, who: Inhabitant) -> None:
    """By no route."""
    path = f"{DOCUMENTS}/{store(who, 'Secret plan')}"
    other = world.settle()
    for response in (other.get(path), other.patch(path, json={"text": "x"}), other.delete(path)):
        problem_of(response, 404)
    assert other.get(DOCUMENTS).json == []
    assert titles(other, "secret") == []
    assert who.get(path).json["version"] == 1


def test_the_longest_document_can_be_found(who: Inhabitant) -> None:
    """200,000 characters, every word of them another."""
    text = " ".join(f"w{number:05x}" for number in range(28_000))[:200_000]
    store(who, "Long", text)
    assert titles(who, "w00010") == ["Long"]
