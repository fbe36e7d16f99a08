"""What Google's providers share: requests made by the official client from its shipped discovery
documents, tokens by google-auth, and Google's words for refusals. Our own client carries both.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

from cachetools import TTLCache

from ..domain.accounts import Account
from ..errors import ProviderCode, ProviderError
from .kinds import BASE_URL, Asked
from .messages import Request, Response
from .operation import Operation
from .policy import refusal_of_status

OAUTH_URL = "https://oauth2.googleapis.com/token"
LIMITS = {"rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "dailyLimitExceeded"}
LOGINS_REMEMBERED = 10_000
LOGINS_S = 3600.0  # as long as Google's access tokens last

ASKED = (
    Asked(name="service_account", about="a service account's key file, as text", required=False),
    Asked(name="client_id", about="of an OAuth client", required=False),
    Asked(name="client_secret", about="of the OAuth client", required=False),
    Asked(name="refresh_token", about="of the user who agreed", required=False),
    Asked(name="user", about="whom the service account acts for", secret=False, required=False),
    Asked(name="token_url", about="in place of Google's own", secret=False, required=False),
)

_logins: TTLCache[Any, Any] = TTLCache(LOGINS_REMEMBERED, LOGINS_S)
_logins_lock = Lock()


def google_refusal(response: Response) -> ProviderError:
    """What an answer of 400 or more says; some limits are a 403."""
    said = response.json()["error"]
    reasons = [item["reason"] for item in said.get("errors", []) if "reason" in item]
    limited = response.status == 403 and LIMITS & set(reasons)
    return refusal_of_status(
        429 if limited else response.status,
        said["message"],
        provider_code=reasons[0] if reasons else said.get("status"),
        retry_after=response.headers.get("retry-after"),
    )


class _NoHttp:
    """What Google's client has in place of an HTTP client of its own: it makes requests alone."""

    def request(self, *_: Any, **__: Any) -> Any:
        """Refuse; no request goes this way."""
        raise NotImplementedError


@lru_cache(maxsize=100)
def _service(name: str, version: str, base_url: str) -> Any:
    """Google's client of one API; loaded when a tenant first uses it: it takes a second or two."""
    from googleapiclient import discovery

    options = {"api_endpoint": base_url} if base_url else None
    return discovery.build(
        name, version, http=_NoHttp(), static_discovery=True, client_options=options
    )


class GoogleApi:
    """One API of Google's, within one operation of one account."""

    def __init__(
        self, operation: Operation, account: Account, name: str, version: str, scopes: list[str]
    ) -> None:
        base_url = account.options.get(BASE_URL, "")
        self.service = _service(name, version, base_url.rstrip("/") + "/" if base_url else "")
        self._operation = operation
        self._account = account
        self._scopes = scopes

    def ask(self, made: Any, **more: Any) -> Any:
        """Send a request that Google's client made; returns the answer's JSON, None if empty.

        Args:
            made: a googleapiclient.http.HttpRequest.
            more: of our Request: repeatable, named, sent, empty.

        Raises:
            ProviderError: it was refused.
        """
        body = made.body.encode() if isinstance(made.body, str) else made.body
        return self.send(made.method, made.uri, made.headers, body, **more).json()

    def send(
        self, method: str, uri: str, headers: Mapping[str, str], body: bytes | None, **more: Any
    ) -> Response:
        """Send a request, signed with the account's token."""
        parts = urlsplit(uri)
        own = {name: value for name, value in headers.items() if name != "accept-encoding"}
        asked = Request(
            method=method,
            url=urlunsplit((parts.scheme, parts.netloc, parts.path, "", "")),
            query={
                name: values[0] if len(values) == 1 else values
                for name, values in parse_qs(parts.query, keep_blank_values=True).items()
            },
            headers={**own, "authorization": f"Bearer {self._token()}"},
            body=body,
            **more,
        )
        try:
            return self._operation.send(asked)
        except ProviderError as error:
            if error.code is ProviderCode.UNAUTHORIZED:
                _forget(self._login_key)  # the next operation asks for a new token
            raise

    @property
    def _login_key(self) -> Any:
        account = self._account
        return (
            frozenset(account.credentials.items()),
            account.options.get("user"),
            account.options.get("token_url"),
            tuple(self._scopes),
        )

    def _token(self) -> str:
        """The account's access token, a new one if the old one is at its end."""
        from google.auth import exceptions

        key = self._login_key
        with _logins_lock:
            login = _logins.get(key)
        try:
            if login is None:
                login = _login(self._account, self._scopes)
            if not login.valid:
                login.refresh(self._fetch)
        except (exceptions.GoogleAuthError, ValueError) as error:
            raise ProviderError(
                f"Google gives no access token: {error}", code=ProviderCode.UNAUTHORIZED
            ) from error
        with _logins_lock:
            _logins[key] = login
        found: str = login.token
        return found

    def _fetch(
        self,
        url: str,
        method: str = "GET",
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        **_: Any,
    ) -> Any:
        """What google-auth calls in place of its own HTTP client."""
        encoded = body.encode() if isinstance(body, str) else body
        return _Fetched(
            self._operation.fetch(
                Request(method=method, url=url, headers=headers or {}, body=encoded)
            )
        )


class _Fetched:
    """An answer in the form that google-auth reads."""

    def __init__(self, response: Response) -> None:
        self.status = response.status
        self.headers = response.headers
        self.data = response.body


def _forget(key: Any) -> None:
    with _logins_lock:
        _logins.pop(key, None)


def _login(account: Account, scopes: list[str]) -> Any:
    """The account's credentials as google-auth has them.

    Raises:
        ValueError: they are not what Google gives out.
    """
    from google.oauth2 import credentials, service_account

    given, options = account.credentials, account.options
    if "service_account" in given:
        info = json.loads(given["service_account"])
        if "token_url" in options:
            info["token_uri"] = options["token_url"]
        return service_account.Credentials.from_service_account_info(
            info, scopes=scopes, subject=options.get("user")
        )
    missing = {"client_id", "client_secret", "refresh_token"} - given.keys()
    if missing:
        names = ", ".join(sorted(missing))
        raise ValueError(f"the account has neither service_account nor {names}")
    return credentials.Credentials(
        None,
        refresh_token=given["refresh_token"],
        token_uri=options.get("token_url", OAUTH_URL),
        client_id=given["client_id"],
        client_secret=given["client_secret"],
    )
