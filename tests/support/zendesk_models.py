"""Zendesk's objects as zenpy's classes have them, which are generated from Zendesk's own documents:
the fields of each, their types, and which of them nobody may write.
"""

import inspect
import re
from datetime import datetime
from functools import cache
from typing import Any

from zenpy.lib import api_objects

# A field's comment in a class of zenpy's, and the assignment below it.
NOTED = re.compile(
    r"# Mandatory: (?:yes|no)\s+# Read-only: (?P<read_only>yes|no)\s+# Type: (?P<type>[\w ]+)\s+"
    r"self\.(?P<name>\w+) ="
)
TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "date": (str,),
}


@cache
def fields_of(model: str) -> dict[str, tuple[str, bool]]:
    """The fields of a class: type (empty if it is not noted), and whether it can only be read."""
    made = getattr(api_objects, model).__init__
    names = set(inspect.signature(made).parameters) - {"self", "api", "kwargs"}
    noted = {
        found["name"].removeprefix("_"): (found["type"].strip(), found["read_only"] == "yes")
        for found in NOTED.finditer(inspect.getsource(made))
    }
    return {name: noted.get(name, ("", False)) for name in names}


def check_shown(model: str, value: dict[str, Any]) -> None:
    """What Zendesk shows has fields of the class alone, each of its type or null."""
    fields = fields_of(model)
    for name, held in value.items():
        assert name in fields, f"{model} has no {name}"
        kind = fields[name][0]
        if held is None or kind not in TYPES:
            continue
        assert isinstance(held, TYPES[kind]), f"{model}.{name} is {kind}: {held!r}"
        if kind == "date":
            assert datetime.fromisoformat(held).tzinfo is not None


def check_written(model: str, value: dict[str, Any], *more: str) -> None:
    """What is sent to Zendesk, too, and nothing that can only be read.

    Args:
        more: what requests may have beside the fields of what they change.
    """
    own = {name: held for name, held in value.items() if name not in more}
    check_shown(model, own)
    for name in own:
        assert not fields_of(model)[name][1], f"{model}.{name} cannot be written"
