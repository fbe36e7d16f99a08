"""Exact indexes for the filters of the audit list, in place of the resource's ordered one.

Without created_at, equal keys share one entry (deduplication), so that the three take 60 bytes a
row where the one they replace took 123. What they find is sorted, a partition at a time; why that
is enough: docs/decisions/0010-filters.md. Built partition by partition beside running writes, then
attached; what a try that failed has left is made anew by the next.
"""

from alembic import context, op
from sqlalchemy import text

revision = "0013_audit_filter_idxs"
down_revision = "0012_rollups"
branch_labels = None
depends_on = None

# By suffix, on audit_logs; a partition's has the partition's name.
NEW = {
    "user_idx": "tenant_id, user_id, ip_address, action, resource_type",
    "ip_idx": "tenant_id, ip_address, action, resource_type, user_id",
    "trail_idx": "tenant_id, resource_id, resource_type",
}
OLD = {"resource_idx": "tenant_id, resource_type, resource_id, created_at, id"}

# Partitions without the index; one that was made meanwhile got it with its making.
LEAVES = """
    SELECT inhrelid::regclass::text FROM pg_inherits
    WHERE inhparent = 'audit_logs'::regclass AND inhrelid NOT IN (
        SELECT indrelid FROM pg_index JOIN pg_inherits ON inhrelid = indexrelid
        WHERE inhparent = 'audit_logs_{suffix}'::regclass
    )
"""


def upgrade() -> None:
    _replace(OLD, NEW)


def downgrade() -> None:
    _replace(NEW, OLD)


def _replace(old: dict[str, str], new: dict[str, str]) -> None:
    for suffix, columns in new.items():
        op.execute(
            "-- squawk-ignore require-concurrent-index-creation\n"
            f"CREATE INDEX IF NOT EXISTS audit_logs_{suffix} ON ONLY audit_logs ({columns})"
        )
        if not context.is_offline_mode():  # a printed script is for a database without partitions
            for leaf in op.get_bind().execute(text(LEAVES.format(suffix=suffix))).scalars().all():
                _build(suffix, leaf, columns)
    for suffix in old:
        op.execute(f"DROP INDEX audit_logs_{suffix}")


def _build(suffix: str, leaf: str, columns: str) -> None:
    with op.get_context().autocommit_block():
        # It waits for transactions that write to the partition, and nobody waits for it.
        op.execute("SET lock_timeout = 0; SET statement_timeout = 0")
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {leaf}_{suffix}")
        op.execute(f"CREATE INDEX CONCURRENTLY {leaf}_{suffix} ON {leaf} ({columns})")
        op.execute("SET lock_timeout = '1s'; SET statement_timeout = '60s'")
    op.execute(f"ALTER INDEX audit_logs_{suffix} ATTACH PARTITION {leaf}_{suffix}")
