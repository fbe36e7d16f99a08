"""When each periodic task last ran, so that a second beat does no harm and a dead one is seen.

No row security: nothing in here is a tenant's.
"""

from alembic import op

revision = "0011_task_runs"
down_revision = "0010_dead_letters_retry"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE task_runs (
            name varchar(100) PRIMARY KEY,
            started_at timestamptz NOT NULL,
            finished_at timestamptz NOT NULL,
            runs bigint NOT NULL
        );
        GRANT SELECT ON task_runs TO opsledger_web;
        GRANT SELECT, INSERT, UPDATE ON task_runs TO opsledger_maintenance;
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE task_runs")
