"""Rollups: what the records of each minute, hour, day and month add up to, folded from summaries.

One row for each unit of time, with its cells packed: a row for each cell of a minute would be as
much as the records themselves. A unit of few records has no finer units either: it is not detailed,
and who needs a part of it reads the records. Numbers stand for the names of cells; they are beside
the packed bytes too, so that a unit which lacks a cell need not be read.
"""

from alembic import op

revision = "0014_rollups"
down_revision = "0013_log_batches_kind_idx"
branch_labels = None
depends_on = None

SECURE = """
    ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
    CREATE POLICY tenant_reads ON {table} FOR SELECT TO opsledger_web
        USING (tenant_id = NULLIF(current_setting('app.tenant', true), '')::uuid);
    CREATE POLICY maintenance_folds ON {table} TO opsledger_maintenance
        USING (true) WITH CHECK (true);
    GRANT SELECT ON {table} TO opsledger_web;
    GRANT SELECT, INSERT, UPDATE ON {table} TO opsledger_maintenance;
"""
TABLES = ("action_rollups", "audit_rollups", "user_rollups", "rollup_cells", "rollup_cursors")


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE action_rollups (
            tenant_id uuid NOT NULL,
            grain varchar(6) NOT NULL,
            start timestamptz NOT NULL,
            detailed boolean NOT NULL,
            numbers integer[] NOT NULL,
            cells bytea NOT NULL,
            histograms bytea NOT NULL,
            slowest bytea NOT NULL,
            CONSTRAINT action_rollups_pkey PRIMARY KEY (tenant_id, grain, start)
        );
        CREATE TABLE audit_rollups (
            tenant_id uuid NOT NULL,
            grain varchar(6) NOT NULL,
            start timestamptz NOT NULL,
            detailed boolean NOT NULL,
            numbers integer[] NOT NULL,
            cells bytea NOT NULL,
            CONSTRAINT audit_rollups_pkey PRIMARY KEY (tenant_id, grain, start)
        );
        CREATE TABLE user_rollups (
            tenant_id uuid NOT NULL,
            grain varchar(6) NOT NULL,
            start timestamptz NOT NULL,
            user_id varchar(255) NOT NULL,
            action varchar(100) NOT NULL,
            resource_type varchar(100) NOT NULL,
            audits bigint NOT NULL,
            CONSTRAINT user_rollups_pkey
                PRIMARY KEY (tenant_id, grain, start, user_id, action, resource_type)
        );
        CREATE TABLE rollup_cells (
            tenant_id uuid NOT NULL,
            kind varchar(10) NOT NULL,
            number integer NOT NULL,
            names text[] NOT NULL,
            CONSTRAINT rollup_cells_pkey PRIMARY KEY (tenant_id, kind, number),
            CONSTRAINT rollup_cells_names_key UNIQUE (tenant_id, kind, names),
            CONSTRAINT rollup_cells_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id)
        );
        CREATE TABLE rollup_cursors (
            tenant_id uuid NOT NULL,
            folded_seq bigint NOT NULL DEFAULT 0,
            CONSTRAINT rollup_cursors_pkey PRIMARY KEY (tenant_id),
            CONSTRAINT rollup_cursors_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id)
        );
        """
    )
    for table in TABLES:
        op.execute(SECURE.format(table=table))


def downgrade() -> None:
    for table in reversed(TABLES):
        op.execute(f"DROP TABLE {table}")
