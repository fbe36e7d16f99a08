"""Ids that a made-up request would not hit on: every other path leads to something that is there.

Else nearly all that asks for one thing by its id would be answered by a 404, and nothing done.
"""

import json
import os
import zlib
from typing import Any

KNOWN = "FUZZ_KNOWN"  # names the environment's variable: ids as JSON, by path parameter


def fill(case: Any) -> None:
    """Have a case ask for what is there, if it is one of those that may be answered well.

    Nothing that is known is deleted, nor is the way of a stateful run left.
    """
    known = json.loads(os.environ.get(KNOWN, "{}"))
    chosen = case.path_parameters or {}
    if not chosen.keys() <= known.keys() or case.method == "DELETE" or not _is_plain(case.meta):
        return
    said = json.dumps([case.operation.label, chosen, case.query], default=str, sort_keys=True)
    if zlib.crc32(said.encode(errors="surrogatepass")) % 2:
        case.path_parameters = {name: known[name] for name in chosen}


def _is_plain(meta: Any) -> bool:
    """Whether its path is as it should be, and by itself."""
    if meta is None or meta.phase.name.value == "stateful":
        return False
    path = next((one for at, one in meta.components.items() if at.value == "path"), None)
    return path is None or bool(path.mode.is_positive)
