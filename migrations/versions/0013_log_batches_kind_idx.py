"""An index on the batches of one kind in commit order: who tails audits passes no actions."""

from alembic import op

revision = "0013_log_batches_kind_idx"
down_revision = "0012_batch_rows_idx"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        # It waits for transactions that are under way, and nobody waits for it.
        op.execute("SET lock_timeout = 0; SET statement_timeout = 0")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS log_batches_kind_idx")
        op.execute(
            "CREATE INDEX CONCURRENTLY log_batches_kind_idx ON log_batches (tenant_id, kind, seq)"
        )
        op.execute("SET lock_timeout = '1s'; SET statement_timeout = '60s'")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS log_batches_kind_idx")
