"""HTTP to providers elsewhere: pooled connections, bounded answers, no redirects, and no way to an
address of our own networks.
"""

import time
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError

from ..domain.destinations import Destinations
from ..errors import ProviderAway, ProviderNonsense, ProviderTimeout
from ..pools import ForbiddenAddress, guarded_pools
from .messages import Request, Response

ANSWER_BYTES_MAX = 8 * 1024 * 1024  # no page of any provider is nearly as large
CHUNK_BYTES = 64 * 1024
CONNECT_TIMEOUT_S_MAX = 3.0  # a host that takes longer to greet is away
USER_AGENT = "opsledger"


class Network:
    """A Transport over the network.

    Args:
        destinations: where providers may be; plain HTTP is spoken with networks named there alone.
    """

    def __init__(self, destinations: Destinations) -> None:
        self._pools = guarded_pools(destinations)

    def send(self, request: Request, *, timeout_s: float) -> Response:
        """Send one request; see Transport."""
        if urlsplit(request.url).scheme not in ("http", "https"):
            raise ProviderAway("The provider's address must start with https://")
        deadline = time.monotonic() + timeout_s
        connect_s = min(timeout_s, CONNECT_TIMEOUT_S_MAX)
        try:
            answer = self._pools.urlopen(
                request.method,
                request.full_url,
                body=request.body,
                headers={"User-Agent": USER_AGENT, **request.headers},
                timeout=urllib3.Timeout(connect=connect_s, read=timeout_s),
                redirect=False,
                preload_content=False,
            )
        except ForbiddenAddress as error:
            raise ProviderAway(str(error)) from error
        except (ConnectTimeoutError, NewConnectionError) as error:
            raise ProviderAway from error
        except ReadTimeoutError as error:
            raise ProviderTimeout from error
        except HTTPError as error:  # the connection broke while it worked on the request, or after
            raise ProviderNonsense(f"The provider broke off: {type(error).__name__}") from error
        return _read(answer, deadline)

    def close(self) -> None:
        """Close all connections."""
        self._pools.clear()


def _read(answer: urllib3.BaseHTTPResponse, deadline: float) -> Response:
    body, whole = bytearray(), False
    try:
        while chunk := answer.read1(CHUNK_BYTES):  # what is there, without waiting for more
            body += chunk
            if len(body) > ANSWER_BYTES_MAX:
                raise ProviderNonsense("The provider's answer is larger than any should be")
            if time.monotonic() > deadline:
                raise ProviderTimeout("The provider did not finish its answer in time")
        whole = True
    except ReadTimeoutError as error:
        raise ProviderTimeout("The provider did not finish its answer in time") from error
    except HTTPError as error:
        raise ProviderNonsense(
            f"The provider's answer broke off: {type(error).__name__}"
        ) from error
    finally:
        if not whole:
            answer.close()  # what is left of it must not be taken for the next answer
        answer.release_conn()
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return Response(status=answer.status, headers=headers, body=bytes(body))
