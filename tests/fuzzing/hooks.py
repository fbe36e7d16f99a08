"""What schemathesis is not to send: what gunicorn refuses by a 414 of its own, before us."""

from typing import Any
from urllib.parse import quote, urlencode

import schemathesis

LINE_BYTES_MAX = 8_000  # gunicorn's own bound is 8,190, with method and version


@schemathesis.hook
def filter_case(_: Any, case: Any) -> bool:
    """Whether the case's request line is short enough to be read."""
    query = urlencode(case.query or {}, doseq=True, errors="surrogatepass")
    segments = [str(value) for value in (case.path_parameters or {}).values()]
    path = quote("".join(segments), safe="", errors="surrogatepass")
    return len(query) + len(path) < LINE_BYTES_MAX
