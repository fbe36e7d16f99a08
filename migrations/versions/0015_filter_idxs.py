"""Exact indexes for the filters of lists: three of audits, in place of the resource's ordered one,
and one of the actions that did not succeed or were slow.

Without created_at, equal keys share one entry (deduplication), so that the three take 81 bytes a
row together where the one they replace took 123. What they find is sorted, a partition at a time;
why that is enough: docs/decisions/0012-filters.md. Built partition by partition beside running
writes, then attached; what a try that failed has left is made anew by the next.
"""

from alembic import context, op
from sqlalchemy import text

revision = "0015_filter_idxs"
down_revision = "0014_rollups"
branch_labels = None
depends_on = None

# Suffix and definition, by log; a partition's index has the partition's name.
NEW = {
    ("audit_logs", "user_idx"): "(tenant_id, user_id, ip_address, action, resource_type)",
    ("audit_logs", "ip_idx"): "(tenant_id, ip_address, action, resource_type, user_id)",
    ("audit_logs", "trail_idx"): "(tenant_id, resource_id, resource_type)",
    ("action_logs", "trouble_idx"): (
        "(tenant_id, status, execution_time_ms, provider_name, action_type)"
        " WHERE status <> 'success' OR execution_time_ms >= 1000"
    ),
}
OLD = {("audit_logs", "resource_idx"): "(tenant_id, resource_type, resource_id, created_at, id)"}

# Partitions without the index; one that was made meanwhile got it with its making.
LEAVES = """
    SELECT inhrelid::regclass::text FROM pg_inherits
    WHERE inhparent = '{table}'::regclass AND inhrelid NOT IN (
        SELECT indrelid FROM pg_index JOIN pg_inherits ON inhrelid = indexrelid
        WHERE inhparent = '{table}_{suffix}'::regclass
    )
"""


def upgrade() -> None:
    _replace(OLD, NEW)


def downgrade() -> None:
    _replace(NEW, OLD)


def _replace(old: dict[tuple[str, str], str], new: dict[tuple[str, str], str]) -> None:
    for (table, suffix), definition in new.items():
        op.execute(
            "-- squawk-ignore require-concurrent-index-creation\n"
            f"CREATE INDEX IF NOT EXISTS {table}_{suffix} ON ONLY {table} {definition}"
        )
        if not context.is_offline_mode():  # a printed script is for a database without partitions
            leaves = text(LEAVES.format(table=table, suffix=suffix))
            for leaf in op.get_bind().execute(leaves).scalars().all():
                _build(f"{table}_{suffix}", leaf, suffix, definition)
    for table, suffix in old:
        # An index of a partitioned table cannot be dropped concurrently; it takes a moment.
        op.execute(
            f"-- squawk-ignore require-concurrent-index-deletion\nDROP INDEX {table}_{suffix}"
        )


def _build(parent: str, leaf: str, suffix: str, definition: str) -> None:
    with op.get_context().autocommit_block():
        # It waits for transactions that write to the partition, and nobody waits for it.
        op.execute("SET lock_timeout = 0; SET statement_timeout = 0")
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {leaf}_{suffix}")
        op.execute(f"CREATE INDEX CONCURRENTLY {leaf}_{suffix} ON {leaf} {definition}")
        op.execute("SET lock_timeout = '1s'; SET statement_timeout = '60s'")
    op.execute(f"ALTER INDEX {parent} ATTACH PARTITION {leaf}_{suffix}")
