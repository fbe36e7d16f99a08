"""The two logs: partitioned by created_at, one lean key, row-level security on the parents.

The worker has no grant here: it writes to the partitions, which have no row security, since COPY
is refused on a table with row security for a role that does not bypass it.
"""

from alembic import op

revision = "0006_logs"
down_revision = "0005_log_batches"
branch_labels = None
depends_on = None

SECURE = """
    ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
    CREATE POLICY tenant_reads ON {table} FOR SELECT TO opsledger_web
        USING (tenant_id = NULLIF(current_setting('app.tenant', true), '')::uuid);
    CREATE POLICY maintenance_reads ON {table} FOR SELECT TO opsledger_maintenance
        USING (true);
    GRANT SELECT ON {table} TO opsledger_web, opsledger_maintenance;
    CREATE INDEX {table}_operation_idx ON {table} (tenant_id, operation_id)
        WHERE operation_id IS NOT NULL;
"""


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE action_logs (
            tenant_id uuid NOT NULL,
            created_at timestamptz NOT NULL,
            id uuid NOT NULL,
            action_type action_type_enum NOT NULL,
            provider_name varchar(100) NOT NULL,
            request_payload jsonb NOT NULL DEFAULT '{}',
            response_data jsonb,
            status action_status_enum NOT NULL,
            error_message text,
            execution_time_ms integer NOT NULL,
            operation_id varchar(255),
            metadata jsonb,
            updated_at timestamptz NOT NULL DEFAULT now(),
            batch_id uuid NOT NULL,
            CONSTRAINT action_logs_pkey PRIMARY KEY (tenant_id, created_at, id),
            CONSTRAINT action_logs_execution_time_ms_check CHECK (execution_time_ms >= 0)
        ) PARTITION BY RANGE (created_at);
        """
    )
    op.execute(
        """
        CREATE TABLE audit_logs (
            tenant_id uuid NOT NULL,
            created_at timestamptz NOT NULL,
            id uuid NOT NULL,
            user_id varchar(255),
            action varchar(100) NOT NULL,
            resource_type varchar(100) NOT NULL,
            resource_id varchar(255) NOT NULL,
            changes jsonb,
            ip_address varchar(45),
            user_agent text,
            operation_id varchar(255),
            metadata jsonb,
            updated_at timestamptz NOT NULL DEFAULT now(),
            batch_id uuid NOT NULL,
            CONSTRAINT audit_logs_pkey PRIMARY KEY (tenant_id, created_at, id)
        ) PARTITION BY RANGE (created_at);
        CREATE INDEX audit_logs_resource_idx
            ON audit_logs (tenant_id, resource_type, resource_id, created_at, id);
        """
    )
    for table in ("action_logs", "audit_logs"):
        op.execute(SECURE.format(table=table))


def downgrade() -> None:
    op.execute("DROP TABLE audit_logs")
    op.execute("DROP TABLE action_logs")
