"""Secrets of channels lie encrypted, as credentials of providers and destinations do.

Channels from before keep theirs in the clear, and work, until `flask providers rotate-keys`
encrypts them; the target of those that are encrypted is empty.
"""

from alembic import op

revision = "0040_channel_secrets"
down_revision = "0039_forward_doubts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE alert_channels ADD COLUMN credentials bytea")


def downgrade() -> None:
    # Nobody could read them again.
    op.execute("DELETE FROM alert_channels WHERE credentials IS NOT NULL")
    op.execute("ALTER TABLE alert_channels DROP COLUMN credentials")
