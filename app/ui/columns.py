"""The two logs as tables: which columns there are, and by which filters of the API they narrow."""

from dataclasses import dataclass

from ..domain.records import STATUSES


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter of the API as a control.

    Args:
        name: the API's parameter.
        label: what people read.
        kind: choices, tokens (several values, typed), text, number, moment.
        hint: an example.
        source: of which suggestions its values are.
    """

    name: str
    label: str
    kind: str = "text"
    hint: str = ""
    choices: tuple[str, ...] = ()
    source: str = ""
    main: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """A column: what it shows, how wide it is, whether it is shown unless chosen otherwise."""

    name: str
    label: str
    shown: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """One log as a table.

    Args:
        name: of the page and of the API's list.
        paths: the roots of filters by JSON path.
    """

    name: str
    title: str
    one: str
    filters: tuple[Filter, ...]
    columns: tuple[Column, ...]
    paths: tuple[str, ...]

    @property
    def parameters(self) -> frozenset[str]:
        """What of a URL is meant for the API."""
        return frozenset(item.name for item in self.filters)


SHOWN_STATUSES = tuple(sorted(STATUSES, key="success failure timeout retry pending".find))
PERIOD_FILTERS = (
    Filter("since", "Since", "moment"),
    Filter("until", "Until", "moment"),
)
SEARCH = Filter("q", "Search", "search", hint="Search errors, ids and payloads", main=True)
OPERATION = Filter("operation_id", "Operation", hint="op-4711")

ACTIONS = Table(
    name="actions",
    title="Actions",
    one="action",
    filters=(
        SEARCH,
        Filter("status", "Status", "choices", choices=SHOWN_STATUSES, main=True),
        Filter("action_type", "Type", "tokens", hint="crm_create", source="types", main=True),
        Filter(
            "provider_name", "Provider", "tokens", hint="hubspot", source="providers", main=True
        ),
        *PERIOD_FILTERS,
        Filter("min_execution_time_ms", "At least (ms)", "number", hint="1000"),
        OPERATION,
    ),
    columns=(
        Column("time", "Time"),
        Column("status", "Status"),
        Column("type", "Action"),
        Column("provider", "Provider"),
        Column("duration", "Duration"),
        Column("error", "Message"),
        Column("id", "Id", shown=False),
    ),
    paths=("payload", "response", "metadata"),
)

AUDITS = Table(
    name="audits",
    title="Audits",
    one="audit",
    filters=(
        SEARCH,
        Filter("action", "Action", hint="update", source="actions", main=True),
        Filter("resource_type", "Resource type", hint="contact", source="resources", main=True),
        Filter("user_id", "User", hint="ada@example.com", source="users", main=True),
        *PERIOD_FILTERS,
        Filter("resource_id", "Resource id", hint="c-17"),
        Filter("ip_address", "IP address", hint="192.0.2.1"),
        OPERATION,
    ),
    columns=(
        Column("time", "Time"),
        Column("user", "User"),
        Column("action", "Action"),
        Column("resource", "Resource"),
        Column("change", "Change"),
        Column("ip", "IP address", shown=False),
        Column("id", "Id", shown=False),
    ),
    paths=("changes", "metadata"),
)

TABLES = {table.name: table for table in (ACTIONS, AUDITS)}
