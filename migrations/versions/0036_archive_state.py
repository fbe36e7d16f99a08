"""How the archive stands: one row, written by each run, which says why the last one failed.

Whoever is asked whether all is well (health, metrics, doctor) is the web role; it reads no log of a
worker.
"""

from alembic import op

revision = "0036_archive_state"
down_revision = "0035_saved_views"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE archive_state (
            id bigint NOT NULL DEFAULT 1,
            outcome varchar(10) NOT NULL,
            reason varchar(10),
            detail text,
            waiting jsonb NOT NULL DEFAULT '{}',
            ran_at timestamptz NOT NULL,
            failing_since timestamptz,
            CONSTRAINT archive_state_pkey PRIMARY KEY (id),
            CONSTRAINT archive_state_id_check CHECK (id = 1),
            CONSTRAINT archive_state_outcome_check
                CHECK (outcome IN ('done', 'unfinished', 'failed'))
        );
        GRANT SELECT ON archive_state TO opsledger_web;
        GRANT SELECT, INSERT, UPDATE ON archive_state TO opsledger_maintenance;
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE archive_state")
