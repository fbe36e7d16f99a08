"""Places in a record: the fields that a policy may name, paths into them, and names as they are
compared.
"""

import re
from functools import lru_cache
from typing import Optional

# A place in a record: the place around it, and the name or index there. The outermost is a field.
Path = tuple[Optional["Path"], str | int]

Steps = tuple[str | int | None, ...]  # None is any name or index

JSON_FIELDS = ("request_payload", "response_data", "changes", "metadata")
TEXT_FIELDS = ("error_message", "user_agent", "user_id", "ip_address")
WHOLE_FIELDS = (*JSON_FIELDS[:2], *TEXT_FIELDS)  # the other two have to stay objects

NAME_CHARS_MAX = 100

_FIELD = re.compile("|".join((*JSON_FIELDS, *TEXT_FIELDS)))
_STEP = re.compile(
    r"""\.(?P<name>[^.\[\]'"*]+)|\[(?P<index>[0-9]{1,9})\]|(?P<any>\.\*|\[\*\])"""
    r"""|\['(?P<quoted>[^']+)'\]"""
)


def read_steps(path: str) -> Steps:
    """The field, names and indexes that a path goes through; none if it is not one."""
    field = _FIELD.match(path)
    if field is None:
        return ()
    steps: list[str | int | None] = [field[0]]
    at = field.end()
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            return ()
        name = step["name"] or step["quoted"]
        steps.append(None if step["any"] else name or int(step["index"]))
        at = step.end()
    return tuple(steps)


def bare_name(name: str) -> str:
    """A key without case and separators: by these two keys are the same."""
    return _remembered(name) if len(name) <= NAME_CHARS_MAX else _bare(name)


def _bare(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


_remembered = lru_cache(maxsize=4096)(_bare)


def leads(steps: Steps, path: Path) -> bool:
    """Whether steps lead from the field to a place, no less and no more."""
    at: Path | None = path
    for step in reversed(steps):
        if at is None or (step is not None and step != at[1]):
            return False
        at = at[0]
    return at is None
