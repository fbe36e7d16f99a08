"""What schemathesis is not to send (what gunicorn refuses by a 414 of its own, before us), what it
is to ask for, and a check of ours beside its own.
"""

import json
from typing import Any
from urllib.parse import quote, urlencode

import schemathesis

from tests.fuzzing.items import INGEST, faults
from tests.fuzzing.known import fill

LINE_BYTES_MAX = 8_000  # gunicorn's own bound is 8,190, with method and version


@schemathesis.hook
def filter_case(_: Any, case: Any) -> bool:
    """Whether the case's request line is short enough to be read."""
    query = urlencode(case.query or {}, doseq=True, errors="surrogatepass")
    segments = [str(value) for value in (case.path_parameters or {}).values()]
    path = quote("".join(segments), safe="", errors="surrogatepass")
    return len(query) + len(path) < LINE_BYTES_MAX


@schemathesis.hook
def before_call(_: Any, case: Any, __: Any) -> None:
    """See `fill`."""
    fill(case)


@schemathesis.check
def bad_items_are_rejected(_: Any, response: Any, case: Any) -> None:
    """A 202 of ingest is no pardon: what is wrong with an item is under `rejected`."""
    path = case.operation.path
    if path not in INGEST or response.status_code != 202:
        return
    items, answer = json.loads(response.request.body), json.loads(response.content)
    found = faults(case.operation.schema.raw_schema, path, items, answer)
    assert not found, "; ".join(found)
