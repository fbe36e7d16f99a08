"""Secrets of channels lie encrypted, as credentials of providers and destinations do.

Channels from before keep theirs in the clear, and work, until `flask providers rotate-keys`
encrypts them; so target may be empty, and older code goes on writing it.
"""

from alembic import op

revision = "0038_channel_secrets"
down_revision = "0037_restored"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE alert_channels ADD COLUMN credentials bytea")
    op.execute("ALTER TABLE alert_channels ALTER COLUMN target DROP NOT NULL")


def downgrade() -> None:
    op.execute("DELETE FROM alert_channels WHERE target IS NULL")  # nobody could read them again
    op.execute("ALTER TABLE alert_channels ALTER COLUMN target SET NOT NULL")
    op.execute("ALTER TABLE alert_channels DROP COLUMN credentials")
