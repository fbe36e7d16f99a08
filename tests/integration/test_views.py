"""Views: a key's own and the tenant's shared ones; nobody else's, and removed by their owner."""

from typing import Any

import pytest

from app.domain import views as rules
from tests.support.world import Inhabitant, World, problem_of, refused_fields

VIEWS = "/api/v1/views"


def keep(who: Inhabitant, name: str = "failures", **values: Any) -> dict[str, Any]:
    """A view that was kept."""
    wanted = {"name": name, "log": "actions", "query": "status=failure", **values}
    made = who.post(VIEWS, json=wanted)
    assert made.status_code == 201, made.text
    return dict(made.json)


def names(who: Inhabitant) -> list[str]:
    """The views that a key sees."""
    return [view["name"] for view in who.get(VIEWS).json]


def colleague_of(world: World, who: Inhabitant) -> Inhabitant:
    """Another key of the same tenant."""
    secret = f"{who.secret}_2"
    world.give_key(who.tenant_id, secret, ["logs:read"])
    return Inhabitant(who.tenant_id, who.slug, secret, who.client)


def test_a_view_is_its_keys_unless_it_is_shared(world: World) -> None:
    """Shared ones are seen by every key of the tenant, and by no other tenant."""
    who, stranger = world.settle(), world.settle()
    colleague = colleague_of(world, who)
    mine = keep(who, "mine")
    ours = keep(who, "ours", shared=True, log="audits", query="")
    assert names(who) == ["mine", "ours"]
    (seen,) = colleague.get(VIEWS).json
    assert seen == {**ours, "own": False}
    assert seen["made_by"].startswith("key:")
    assert names(stranger) == []
    for view in (mine, ours):
        for other in (colleague, stranger):
            problem_of(other.delete(f"{VIEWS}/{view['id']}"), 404)
    assert who.delete(f"{VIEWS}/{ours['id']}").status_code == 204
    assert names(who) == ["mine"]
    problem_of(who.delete(f"{VIEWS}/{ours['id']}"), 404)


def test_a_name_is_once_and_views_are_bounded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For each key and log."""
    monkeypatch.setattr("app.api.views.VIEWS_MAX", 3)
    who = world.settle()
    keep(who)
    again = {"name": "failures", "log": "actions"}
    assert "already" in problem_of(who.post(VIEWS, json=again), 409)["detail"]
    keep(who, log="audits")
    keep(colleague_of(world, who))
    keep(who, "third")
    refused = who.post(VIEWS, json={"name": "fourth", "log": "actions"})
    assert "at most 3" in problem_of(refused, 409)["detail"]


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"log": "actions"}, "name"),
        ({"name": "", "log": "actions"}, "name"),
        ({"name": "n", "log": "both"}, "log"),
        ({"name": "n", "log": "actions", "query": "q" * (rules.QUERY_CHARS_MAX + 1)}, "query"),
        ({"name": "n", "log": "actions", "shared": "yes"}, "shared"),
        ({"name": "n", "log": "actions", "owner": "ada"}, "owner"),
        ({"name": "n\x00", "log": "actions"}, "name"),
    ],
)
def test_what_a_view_cannot_be_is_a_400(world: World, wanted: dict[str, Any], field: str) -> None:
    """It names the field."""
    assert field in refused_fields(world.settle().post(VIEWS, json=wanted))


def test_who_keeps_and_deletes_a_view_is_on_record(live: World) -> None:
    """As any change."""
    who = live.settle()
    view = keep(who)
    who.delete(f"{VIEWS}/{view['id']}")
    live.arrive()
    rows = who.get("/api/v1/logs/audits?resource_type=view").json
    assert [row["action"] for row in rows] == ["delete", "create"]
    assert {row["resource_id"] for row in rows} == {view["id"]}
