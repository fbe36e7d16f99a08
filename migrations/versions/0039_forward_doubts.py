"""When it was last unknown what of a delivery had arrived: what a destination is sent at a time
depends on it, so that few records come twice where workers die or connections break.
"""

from alembic import op

revision = "0039_forward_doubts"
down_revision = "0038_views_erasable"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE forward_destinations ADD COLUMN unsure_at timestamptz;
        GRANT SELECT (unsure_at) ON forward_destinations TO opsledger_web;
        """
    )


def downgrade() -> None:
    op.execute("ALTER TABLE forward_destinations DROP COLUMN unsure_at")
