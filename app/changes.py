"""Audit logs of a host's SQLAlchemy models: what is marked `__audited__` leaves a record of each
change, before and after, once it is committed.

Units of work are seen at the flush, bulk statements (`update()`, `delete()`, `insert()` through the
session, and its old bulk methods) by reading the rows they touch before and after. What is rolled
back leaves nothing.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from sqlalchemy import event, inspect, select
from sqlalchemy.orm import Mapper, ORMExecuteState, Session, UOWTransaction

from .capture import AuditService
from .telemetry import get_logger

MARK = "__audited__"
# Keys of session.info.
PENDING = "opsledger.changes"  # what was flushed and waits for the commit
BEFORE = "opsledger.before"  # what the objects of a flush were
SAVEPOINTS = "opsledger.savepoints"  # how many changes there were when each began
BULK_ROWS_MAX = 1_000  # of one statement; more are told by their number alone

log = get_logger(__name__)

Change = dict[str, Any]


def audit_changes(session: Any, audit: AuditService | None = None) -> None:
    """Put the changes of a session, or of all sessions of a sessionmaker or class, on record.

    >>> class Invoice(Base):
    ...     __tablename__ = "invoices"
    ...     __audited__ = True
    >>> audit_changes(sessionmaker_or_Session)

    The record's resource_type is the table's name, its resource_id the primary key (several parted
    by slashes). `__audited__` may also be a collection of the attributes that count.

    SQL on bare connections is not seen.
    """
    service = audit or AuditService()
    _watch_old_bulk(session)
    event.listen(session, "before_flush", _note_changed)
    event.listen(session, "after_flush", _note_flushed)
    event.listen(session, "do_orm_execute", _note_bulk)
    event.listen(session, "after_commit", lambda done: _keep(done, service))
    event.listen(session, "after_transaction_create", _note_savepoint)
    event.listen(session, "after_soft_rollback", _forget)


def _note_changed(session: Session, _: UOWTransaction, __: Any) -> None:
    """What deleted and changed objects were, which only the history still knows."""
    for item in (*session.dirty, *session.deleted):
        names = _audited(inspect(item).mapper)
        if names is not None:
            session.info.setdefault(BEFORE, {})[id(item)] = _before(session, item, names)


def _note_flushed(session: Session, _: UOWTransaction) -> None:
    before = session.info.pop(BEFORE, {})
    for action, items in (
        ("create", session.new),
        ("update", session.dirty),
        ("delete", session.deleted),
    ):
        for item in items:
            names = _audited(inspect(item).mapper)
            if names is None:
                continue
            old = before.get(id(item)) if action != "create" else None
            new = _now(item, names) if action != "delete" else None
            if action != "update" or old != new:
                _note(session, action, inspect(item).mapper, _key(item), old, new)


def _note_bulk(state: ORMExecuteState) -> Any:
    mapper = state.bind_mapper
    if mapper is None or not (state.is_update or state.is_delete or state.is_insert):
        return None
    names = _audited(mapper)
    if names is None:
        return None
    if state.is_insert:
        return _insert(state, mapper)
    return _change(state, mapper, names)


def _insert(state: ORMExecuteState, mapper: Mapper[Any]) -> Any:
    result = state.invoke_statement()
    given: Any = state.parameters
    rows = given if isinstance(given, list) else [given] if given else [_values(state.statement)]
    _note_created(state.session, mapper, rows, len(rows))
    return result


def _change(state: ORMExecuteState, mapper: Mapper[Any], names: list[str]) -> Any:
    session = state.session
    columns = [*mapper.primary_key, *(mapper.columns[name] for name in names)]
    width = len(mapper.primary_key)
    session.flush()  # the statement would see these changes, so their records come first
    wanted: Any = select(*columns).limit(BULK_ROWS_MAX + 1)
    criteria = getattr(state.statement, "whereclause", None)
    if criteria is not None:
        wanted = wanted.where(criteria)
    parameters = state.parameters if isinstance(state.parameters, dict) else {}
    found = session.connection().execute(wanted, parameters).all()
    before = {tuple(row[:width]): dict(zip(names, row[width:], strict=True)) for row in found}
    result: Any = state.invoke_statement()
    after = _reread(session, mapper, columns, list(before)) if state.is_update else {}
    action = "update" if state.is_update else "delete"
    if len(before) > BULK_ROWS_MAX:
        _note(session, action, mapper, "many", None, None, bulk=result.rowcount)
        return result
    for key, old in before.items():
        new = dict(zip(names, after[key], strict=True)) if key in after else None
        if action == "delete" or old != new:
            _note(session, action, mapper, "/".join(map(str, key)), old, new, bulk=len(before))
    return result


def _reread(
    session: Session, mapper: Mapper[Any], columns: list[Any], keys: list[tuple[Any, ...]]
) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """The rows of these keys as they are now, by key."""
    width = len(mapper.primary_key)
    found: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for key in keys[:BULK_ROWS_MAX]:
        wanted = select(*columns).where(
            *(column == value for column, value in zip(mapper.primary_key, key, strict=True))
        )
        row = session.connection().execute(wanted).first()
        if row is not None:
            found[key] = tuple(row[width:])
    return found


def _watch_old_bulk(session: Any) -> None:
    """Put steps of ours around the old bulk methods, of which SQLAlchemy tells no listener."""
    factory = getattr(session, "session_factory", session)  # of a scoped_session
    owner = getattr(factory, "class_", factory)  # of a sessionmaker, which has one of its own
    for name, around in (
        ("bulk_save_objects", _save_objects),
        ("bulk_insert_mappings", _insert_mappings),
        ("bulk_update_mappings", _update_mappings),
    ):
        setattr(owner, name, _surrounded(owner, getattr(owner, name), around))


def _surrounded(owner: Any, plain: Any, around: Callable[..., None]) -> Any:
    @functools.wraps(plain)
    def of_class(self: Session, *given: Any, **options: Any) -> None:
        around(self, functools.partial(plain, self), *given, **options)

    @functools.wraps(plain)
    def of_session(*given: Any, **options: Any) -> None:
        around(owner, plain, *given, **options)

    return of_class if isinstance(owner, type) else of_session


def _insert_mappings(
    session: Session,
    plain: Any,
    mapper: Any,
    mappings: Iterable[Change],
    *more: Any,
    **options: Any,
) -> None:
    rows, found = list(mappings), inspect(mapper).mapper
    plain(mapper, rows, *more, **options)
    _note_created(session, found, rows, len(rows))


def _update_mappings(session: Session, plain: Any, mapper: Any, mappings: Iterable[Change]) -> None:
    rows, found = list(mappings), inspect(mapper).mapper
    keys = [tuple(row.get(name) for name in _key_names(found)) for row in rows]
    with _noting_updates(session, found, keys):
        plain(mapper, rows)


def _save_objects(
    session: Session, plain: Any, objects: Iterable[Any], *more: Any, **options: Any
) -> None:
    items = list(objects)
    new: dict[Mapper[Any], list[Any]] = {}
    known: dict[Mapper[Any], list[tuple[Any, ...]]] = {}
    for state in map(inspect, items):
        if _audited(state.mapper) is None:
            continue
        if state.key is None:
            new.setdefault(state.mapper, []).append(state.obj())
        else:
            known.setdefault(state.mapper, []).append(tuple(state.identity or ()))
    with ExitStack() as stack:
        for mapper, keys in known.items():
            stack.enter_context(_noting_updates(session, mapper, keys))
        plain(items, *more, **options)
    for mapper, made in new.items():
        names = sorted({*_key_names(mapper), *(_audited(mapper) or ())})
        rows = [_now(item, names) for item in made[:BULK_ROWS_MAX]]
        _note_created(session, mapper, rows, len(made))


def _note_created(session: Session, mapper: Mapper[Any], rows: list[Change], count: int) -> None:
    """Note new rows.

    Args:
        rows: all of them, or the first BULK_ROWS_MAX.
        count: how many there are.
    """
    names = _audited(mapper)
    if names is None:
        return
    for row in rows[:BULK_ROWS_MAX]:
        new = {name: row[name] for name in names if name in row}
        keys = [row.get(name) for name in _key_names(mapper)]
        key = "/".join(map(str, keys)) if None not in keys else "unknown"
        _note(session, "create", mapper, key, None, new, bulk=count)
    if count > BULK_ROWS_MAX:
        _note(session, "create", mapper, "many", None, None, bulk=count - BULK_ROWS_MAX)


@contextmanager
def _noting_updates(
    session: Session, mapper: Mapper[Any], keys: list[tuple[Any, ...]]
) -> Iterator[None]:
    """Note what a block makes of the rows of these keys."""
    names = _audited(mapper)
    if names is None:
        yield
        return
    if len(keys) > BULK_ROWS_MAX:
        yield
        _note(session, "update", mapper, "many", None, None, bulk=len(keys))
        return
    columns = [*mapper.primary_key, *(mapper.columns[name] for name in names)]
    before = _reread(session, mapper, columns, keys)
    yield
    after = _reread(session, mapper, columns, keys)
    for key, old in before.items():
        was, now = (dict(zip(names, row, strict=True)) for row in (old, after.get(key, old)))
        if was != now:
            _note(session, "update", mapper, "/".join(map(str, key)), was, now, bulk=len(keys))


def _key_names(mapper: Mapper[Any]) -> list[str]:
    """The attributes of the primary key."""
    return [mapper.get_property_by_column(column).key for column in mapper.primary_key]


def _keep(session: Session, service: AuditService) -> None:
    """Put on record what was committed; a change that cannot be kept breaks no commit."""
    if session.in_nested_transaction():
        return
    changes: list[Change] = session.info.pop(PENDING, [])
    for change in changes:
        try:
            service.log_change(**change)
        except Exception:
            log.exception("change not put on record", resource=change["resource_type"])


def _note_savepoint(session: Session, transaction: Any) -> None:
    if transaction.nested:
        noted = len(session.info.get(PENDING, []))
        session.info.setdefault(SAVEPOINTS, {})[id(transaction)] = noted
    elif transaction.parent is None:
        session.info.pop(SAVEPOINTS, None)


def _forget(session: Session, previous: Any) -> None:
    """Forget what was rolled back: all of it, or what came since the savepoint."""
    if previous.nested:
        since = session.info.get(SAVEPOINTS, {}).pop(id(previous), None)
        if since is not None:
            del session.info.get(PENDING, [])[since:]
    else:
        session.info.pop(PENDING, None)


def _note(
    session: Session,
    action: str,
    mapper: Mapper[Any],
    key: str,
    before: Change | None,
    after: Change | None,
    *,
    bulk: int | None = None,
) -> None:
    change: Change = {
        "action": action,
        "resource_type": str(mapper.local_table),
        "resource_id": key[:255],
        "before": before,
        "after": after,
    }
    if bulk is not None:
        change["metadata"] = {"bulk_rows": bulk}
    session.info.setdefault(PENDING, []).append(change)


def _audited(mapper: Mapper[Any]) -> list[str] | None:
    """The attributes that count of a model; None if it is not marked."""
    mark: bool | Iterable[str] = getattr(mapper.class_, MARK, False)
    if not mark:
        return None
    names = [attribute.key for attribute in mapper.column_attrs]
    return names if mark is True else [name for name in names if name in set(mark)]


def _before(session: Session, item: Any, names: list[str]) -> Change:
    """What an object was before it was changed; what it had not loaded is read."""
    state = inspect(item)
    values: Change = {}
    for name in names:
        history = state.attrs[name].history
        if history.deleted:
            values[name] = history.deleted[0]
        elif history.unchanged:
            values[name] = history.unchanged[0]
    missing = [name for name in names if name not in values]
    if missing:
        key = zip(state.mapper.primary_key, state.identity, strict=True)
        columns = [state.mapper.columns[name] for name in missing]
        wanted = select(*columns).where(*(column == value for column, value in key))
        row = session.connection().execute(wanted).first()
        values.update(zip(missing, row or (), strict=False))
    return values


def _now(item: Any, names: list[str]) -> Change:
    """What an object is; what the database has still to say (as a default) is left out."""
    loaded = inspect(item).dict
    return {name: loaded[name] for name in names if name in loaded}


def _key(item: Any) -> str:
    state = inspect(item)
    identity = state.identity or state.mapper.primary_key_from_instance(item)
    return "/".join(map(str, identity))


def _values(statement: Any) -> Change:
    """The values of an insert() that names them itself."""
    given: dict[Any, Any] = getattr(statement, "_values", None) or {}
    return {column.key: getattr(value, "value", value) for column, value in given.items()}
