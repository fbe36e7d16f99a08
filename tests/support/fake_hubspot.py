"""HubSpot's contacts API, by the SDK's own models: bodies are read into them, answers written."""

import inspect
import json
from typing import Any

from hubspot.crm import contacts as sdk

from tests.support.fakes import Fake, now, page, parts_of
from tests.support.peer import Asked

TOKEN = "pat-na1-secret-hubspot"
OWN = {"createdate", "lastmodifieddate", "hs_object_id"}
KNOWN = {"email", "firstname", "lastname", "company", "phone", "tier"}  # the portal's properties
CATEGORIES = {
    400: "VALIDATION_ERROR",
    401: "INVALID_AUTHENTICATION",
    404: "OBJECT_NOT_FOUND",
    409: "CONFLICT",
    429: "RATE_LIMITS",
}


class FakeHubSpot(Fake):
    """The API at /crm/v3/objects/contacts."""

    def authorize(self, asked: Asked) -> None:
        if asked.headers.get("authorization") != f"Bearer {TOKEN}":
            raise self.refuse(401, "Authentication credentials not found.")

    def words(self, status: int, message: str) -> Any:
        said = {
            "status": "error",
            "message": message,
            "correlationId": "aeb5f871-7f07-4993-9211-075dc63e7cbf",
            "category": CATEGORIES.get(status, "INTERNAL_ERROR"),
        }
        return json.loads(json.dumps(said))

    def serve(self, asked: Asked) -> tuple[int, Any]:
        parts, query = parts_of(asked)
        assert parts[:4] == ["crm", "v3", "objects", "contacts"]
        body = json.loads(asked.body) if asked.body else None
        if parts[4:] == ["search"]:
            return 200, self._search(read(sdk.PublicObjectSearchRequest, body))
        if asked.method == "POST":
            return 201, self._create(read(sdk.SimplePublicObjectInputForCreate, body))
        if len(parts) == 4:
            check_query(sdk.BasicApi.get_page, query)
            return 200, self._page(list(self.items.values()), query)
        contact_id = parts[4]
        if asked.method == "DELETE":
            self.items.pop(contact_id, None)  # HubSpot says 204 either way
            return 204, None
        kept = self.found(contact_id)
        if asked.method == "PATCH":
            given = self._checked(read(sdk.SimplePublicObjectInput, body).properties)
            kept["properties"].update(given)
            kept["updated"] = now()
            return 200, self._shown(kept, list(given))
        check_query(sdk.BasicApi.get_by_id, query)
        return 200, self._shown(kept, query.get("properties", []))

    def _create(self, given: Any) -> Any:
        properties = self._checked(given.properties)
        email = properties.get("email")
        if any(kept["properties"].get("email") == email for kept in self.items.values()):
            raise self.refuse(409, "Contact already exists. Existing ID: 1")
        contact_id = str(101 + len(self.seen))
        kept = {"id": contact_id, "properties": properties, "created": now(), "updated": now()}
        self.items[contact_id] = kept
        return self._shown(kept, list(properties))

    def _checked(self, properties: dict[str, Any]) -> dict[str, Any]:
        for name, value in properties.items():
            assert isinstance(value, str), f"{name} must be a string"
            if name not in KNOWN:
                raise self.refuse(400, f'Property "{name}" does not exist')
        return properties

    def _search(self, asked: Any) -> Any:
        wanted = asked.query.lower()
        found = [
            kept
            for kept in self.items.values()
            if any(wanted in value.lower() for value in kept["properties"].values())
        ]
        query = {"properties": asked.properties, "limit": [str(asked.limit)]}
        if asked.after:
            query["after"] = [asked.after]
        return {"total": len(found), **self._page(found, query)}

    def _page(self, items: list[Any], query: dict[str, Any]) -> Any:
        after = query["after"][0] if "after" in query else None
        if after is not None and not after.isdigit():
            raise self.refuse(400, "Invalid after")
        shown, following = page(items, int(query["limit"][0]), after)
        paging = None
        if following:
            paging = sdk.ForwardPaging(next=sdk.NextPage(after=following))
        results = [self._shown(kept, query.get("properties", [])) for kept in shown]
        return {"results": results, **({"paging": write(paging)} if paging else {})}

    def _shown(self, kept: dict[str, Any], wanted: list[str]) -> Any:
        properties = {name: kept["properties"].get(name) or None for name in wanted}
        properties |= {"createdate": kept["created"], "lastmodifieddate": kept["updated"]}
        properties["hs_object_id"] = kept["id"]
        return write(
            sdk.SimplePublicObject(
                id=kept["id"],
                properties=properties,
                created_at=kept["created"],
                updated_at=kept["updated"],
                archived=False,
            )
        )


def read(model: Any, body: Any) -> Any:
    """A body as the SDK's model, which has all it needs and nothing else."""
    names = {theirs: ours for ours, theirs in model.attribute_map.items()}
    assert set(body) <= set(names), f"unknown: {set(body) - set(names)}"
    return model(**{names[name]: value for name, value in body.items()})


def write(model: Any) -> Any:
    """The JSON of the SDK's model."""
    shown = sdk.ApiClient().sanitize_for_serialization(model)
    if isinstance(model, sdk.SimplePublicObject):  # the SDK leaves out what is null
        shown["properties"] = model.properties
    return shown


def check_query(method: Any, query: dict[str, list[str]]) -> None:
    """The SDK's method has these parameters."""
    documented = inspect.getdoc(method) or ""
    for name in query:
        assert ":param " in documented
        assert f" {name}:" in documented, f"no parameter {name}"
