"""A worker may answer a dead letter: delete it with the commit that stores its record, or give it
its new reason. It finds it by id and still reads no payload.
"""

from alembic import op

revision = "0010_dead_letters_retry"
down_revision = "0009_late_records"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE POLICY worker_answers ON dead_letters TO opsledger_worker
            USING (true) WITH CHECK (true);
        GRANT SELECT (id), UPDATE (reason), DELETE ON dead_letters TO opsledger_worker;
        """
    )


def downgrade() -> None:
    op.execute("REVOKE SELECT (id), UPDATE (reason), DELETE ON dead_letters FROM opsledger_worker")
    op.execute("DROP POLICY worker_answers ON dead_letters")
