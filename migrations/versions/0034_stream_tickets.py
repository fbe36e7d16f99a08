"""Tickets: each opens one stream in place of a key, once and soon.

Kept is the hash alone, beside the digest of the key that it stands for, so that it ends with the
key; who reads this table can open nothing.
"""

from alembic import op

revision = "0034_stream_tickets"
down_revision = "0033_forwarding"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE stream_tickets (
            tenant_id uuid NOT NULL,
            digest bytea NOT NULL,
            key_digest bytea NOT NULL,
            expires_at timestamptz NOT NULL,
            CONSTRAINT stream_tickets_pkey PRIMARY KEY (tenant_id, digest),
            CONSTRAINT stream_tickets_tenant_id_fkey
                FOREIGN KEY (tenant_id) REFERENCES tenants (id)
        );
        ALTER TABLE stream_tickets ENABLE ROW LEVEL SECURITY;
        CREATE POLICY tenant_tickets ON stream_tickets TO opsledger_web
            USING (tenant_id = NULLIF(current_setting('app.tenant', true), '')::uuid)
            WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant', true), '')::uuid);
        GRANT SELECT, INSERT, DELETE ON stream_tickets TO opsledger_web;
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE stream_tickets")
