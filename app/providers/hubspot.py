"""HubSpot as a CRM: the official SDK makes requests and reads answers, our client carries them."""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from types import ModuleType
from typing import Any

from ..domain.accounts import Account
from ..domain.resources import Contact, Found
from ..errors import ProviderCode, ProviderError
from .kinds import BASE_URL
from .messages import Request, Response, json_request
from .operation import Operation
from .policy import refusal_of_status
from .protocols import Values
from .reading import moment, reading

NAME = "hubspot"
URL = "https://api.hubapi.com"
# Unified fields and HubSpot's own names for them.
NAMES = {
    "email": "email",
    "first_name": "firstname",
    "last_name": "lastname",
    "company": "company",
    "phone": "phone",
}
OF_HUBSPOT = {"createdate", "lastmodifieddate", "hs_object_id"}  # in every answer, told elsewhere


def hubspot_refusal(response: Response) -> ProviderError:
    """What an answer of 400 or more says."""
    said = response.json()
    return refusal_of_status(
        response.status,
        said["message"],
        provider_code=said.get("category"),
        retry_after=response.headers.get("retry-after"),
    )


@lru_cache(maxsize=1)
def _sdk() -> ModuleType:
    """The SDK, loaded when a tenant first uses it: it takes a second and 10 MB."""
    from hubspot.crm import contacts

    found: ModuleType = contacts
    return found


class _Answer:
    """An answer in the form that the SDK reads."""

    def __init__(self, response: Response) -> None:
        self.status = response.status
        self.data = response.body
        self._headers = response.headers

    def getheader(self, name: str, default: str | None = None) -> str | None:
        """One header."""
        return self._headers.get(name.lower(), default)

    def getheaders(self) -> Mapping[str, str]:
        """All headers."""
        return self._headers


class HubSpotCrm:
    """A CrmProvider. Contacts are in HubSpot's order, a deleted one goes to its recycle bin."""

    def __init__(self, operation: Operation, account: Account) -> None:
        self._operation = operation
        self._named: dict[str, str] = {}
        self._repeatable = True
        sdk = _sdk()
        configuration = sdk.Configuration()
        configuration.access_token = account.credentials["access_token"]
        configuration.host = account.options.get(BASE_URL, URL).rstrip("/")
        client = sdk.ApiClient(configuration)
        client.request = self._send
        self._basic = sdk.BasicApi(client)
        self._search = sdk.SearchApi(client)
        more = account.options.get("properties", "").split(",")
        self._properties = [*NAMES.values(), *(name.strip() for name in more if name.strip())]
        self._portal_id = account.options.get("portal_id")

    def create(self, values: Values) -> Contact:
        """Add a contact. HubSpot has no idempotency keys: what is in doubt is not repeated."""
        self._repeatable = False
        body = _sdk().SimplePublicObjectInputForCreate(properties=_properties(values))
        with reading():
            return self._contact(self._basic.create(body))

    def get(self, contact_id: str, /) -> Contact:
        """One contact."""
        self._named = {"id": contact_id}
        with reading():
            return self._contact(self._basic.get_by_id(contact_id, properties=self._properties))

    def update(self, contact_id: str, values: Values, /) -> Contact:
        """Change the given fields; HubSpot answers with these alone, so it is asked again."""
        self._named = {"id": contact_id}
        body = _sdk().SimplePublicObjectInput(properties=_properties(values))
        with reading():
            self._basic.update(contact_id, body)
        return self.get(contact_id)

    def delete(self, contact_id: str, /) -> None:
        """Archive a contact. HubSpot answers so also for one that is not there."""
        self._named = {"id": contact_id}
        self._basic.archive(contact_id)

    def list(self, *, limit: int, after: str | None) -> Found[Contact]:
        """All contacts."""
        with reading():
            page = self._basic.get_page(limit=limit, properties=self._properties, **_past(after))
            return self._found(page)

    def search(self, query: str, *, limit: int, after: str | None) -> Found[Contact]:
        """Contacts that hold the words, as HubSpot searches: in names, email, phone and company."""
        asked = _sdk().PublicObjectSearchRequest(
            query=query, limit=limit, properties=self._properties, **_past(after)
        )
        with reading():
            return self._found(self._search.do_search(asked))

    def _send(
        self,
        method: str,
        url: str,
        *,
        query_params: Any = None,
        headers: Any = None,
        body: Any = None,
        **_: Any,
    ) -> _Answer:
        """What the SDK calls in place of its own HTTP client."""
        query: dict[str, list[Any]] = {}
        for name, value in query_params or []:
            query.setdefault(name, []).append(value)
        asked: Request = json_request(
            method,
            url,
            content=body,
            query={name: given if len(given) > 1 else given[0] for name, given in query.items()},
            headers=dict(headers or {}),
            named=self._named,
            repeatable=self._repeatable,
            empty=method == "DELETE",
        )
        return _Answer(self._operation.send(asked))

    def _found(self, page: Any) -> Found[Contact]:
        following = page.paging.next.after if page.paging and page.paging.next else None
        return Found([self._contact(item) for item in page.results], following)

    def _contact(self, kept: Any) -> Contact:
        properties: dict[str, Any] = dict(kept.properties)
        known = {name: properties.pop(theirs, None) or None for name, theirs in NAMES.items()}
        url = None
        if self._portal_id:
            url = f"https://app.hubspot.com/contacts/{self._portal_id}/record/0-1/{kept.id}"
        return Contact(
            id=kept.id,
            provider=NAME,
            url=url,
            **known,
            properties={
                name: value for name, value in properties.items() if name not in OF_HUBSPOT
            },
            created_at=_utc(kept.created_at),
            updated_at=_utc(kept.updated_at),
        )


def _past(after: str | None) -> dict[str, str]:
    return {} if after is None else {"after": after}


def _properties(values: Values) -> dict[str, str]:
    """Unified fields as HubSpot's properties, which are texts; the empty one empties."""
    given = {theirs: values[name] or "" for name, theirs in NAMES.items() if name in values}
    for name, value in values.get("properties", {}).items():
        if isinstance(value, dict | list):
            raise ProviderError(
                "must be a text, a number, true, false or null at HubSpot",
                code=ProviderCode.INVALID,
                field=f"properties.{name}",
            )
        text = "" if value is None else value
        given[name] = str(text).lower() if isinstance(text, bool) else str(text)
    return given


def _utc(value: datetime | str) -> datetime:
    return moment(value if isinstance(value, str) else value.isoformat())
