"""What can be wrong with the database: looked up as the role that is asked for, nothing changed."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

# What each role cannot do its work without.
NEEDED = {
    "web": (("action_logs", "SELECT"), ("audit_logs", "SELECT"), ("rollup_cells", "SELECT")),
    "worker": (
        *(("log_batches", "INSERT"), ("shipments", "INSERT"), ("dead_letters", "INSERT")),
        ("late_records", "INSERT"),
    ),
    "maintenance": (("tenants", "UPDATE"), ("task_runs", "UPDATE"), ("alerts", "UPDATE")),
}
_WHO = text(
    """
    SELECT current_user AS name, r.rolsuper OR r.rolbypassrls AS unbound,
           (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class
            WHERE oid = to_regclass('public.action_logs')) AS owns
    FROM pg_roles r WHERE r.rolname = current_user
    """
)
_LACKS = text(
    """
    SELECT wanted.name || ' ' || wanted.privilege
    FROM unnest(CAST(:tables AS text[]), CAST(:privileges AS text[])) AS wanted (name, privilege)
    WHERE to_regclass(wanted.name) IS NULL
       OR NOT has_table_privilege(to_regclass(wanted.name), wanted.privilege)
    """
)
_INVALID = text(
    "SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class c ON c.oid = indexrelid"
    " WHERE NOT indisvalid AND c.relnamespace = 'public'::regnamespace AND c.relkind = 'i'"
    " ORDER BY 1"
)
# Sequential reads of a large log: a list without its index. Small tables are read so by right.
_UNINDEXED = text(
    """
    SELECT relname FROM pg_stat_user_tables
    WHERE relname ~ '^(action|audit)_logs_' AND n_live_tup > 100000
      AND seq_scan > 100 AND seq_scan > coalesce(idx_scan, 0)
    ORDER BY 1
    """
)
_SLOW = text(
    """
    SELECT extract(epoch FROM now() - query_start)::bigint FROM pg_stat_activity
    WHERE application_name = 'opsledger' AND state = 'active' AND pid <> pg_backend_pid()
      AND query_start < now() - make_interval(secs => :seconds)
    ORDER BY 1 DESC
    """
)


@dataclass(frozen=True, slots=True)
class RoleFacts:
    """Who a connection is, and what it cannot do.

    Args:
        unbound: whether row-level security does not bind it.
        lacks: the rights it misses, as TABLE PRIVILEGE.
    """

    name: str
    unbound: bool
    lacks: list[str]


def role_facts(session: Session, role: str) -> RoleFacts:
    """What is to be known of this session's role, which serves as web, worker or maintenance."""
    found = session.execute(_WHO).one()
    tables, privileges = zip(*NEEDED[role], strict=True)
    asked = {"tables": list(tables), "privileges": list(privileges)}
    lacks = list(session.execute(_LACKS, asked).scalars())
    return RoleFacts(found.name, bool(found.unbound or found.owns), lacks)


def clock_skew_s(session: Session, now: float) -> float:
    """How far the database's clock is ahead of ours, in seconds; `now` as time.time() gives it."""
    there = session.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one()
    return float(there) - now


def invalid_indexes(session: Session) -> list[str]:
    """Indexes that a build which was cut short left behind: they cost writes and serve no read."""
    return list(session.execute(_INVALID).scalars())


def unindexed_reads(session: Session) -> list[str]:
    """Large partitions that are mostly read from end to end."""
    return list(session.execute(_UNINDEXED).scalars())


def slow_queries_s(session: Session, seconds: float) -> list[int]:
    """How long our queries run that take longer than this, in seconds, the longest first."""
    return list(session.execute(_SLOW, {"seconds": seconds}).scalars())
