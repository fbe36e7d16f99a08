"""Alerts: rules as data, the alerts they raise with each step of their lives, and who was told.

What evaluation needs of the recent past lies in recent_minutes, added from summaries up to the
batch that alert_cursors names: so it costs what came since, and a restart loses nothing. The target
and the secret of a channel can be written by the web role and not read.
"""

from alembic import op

revision = "0028_alerts"
down_revision = "0027_pipeline_state"
branch_labels = None
depends_on = None

TENANT = "tenant_id = NULLIF(current_setting('app.tenant', true), '')::uuid"
TABLES = {
    "alert_rules": "SELECT, INSERT, UPDATE, DELETE",
    "alert_channels": None,
    "alerts": "SELECT",
    "alert_events": "SELECT, INSERT",
    "alert_deliveries": "SELECT, INSERT",
    "alert_cursors": "SELECT, INSERT",
    "recent_minutes": None,
}


SCHEMA = """
    CREATE TABLE alert_rules (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        name varchar(100) NOT NULL,
        kind varchar(10) NOT NULL,
        figure varchar(20) NOT NULL,
        comparison varchar(2) NOT NULL,
        threshold double precision NOT NULL,
        window_s integer NOT NULL,
        filters jsonb NOT NULL DEFAULT '{}',
        group_by varchar(63),
        min_count integer NOT NULL DEFAULT 0,
        for_s integer NOT NULL DEFAULT 0,
        severity varchar(10) NOT NULL,
        channels uuid[] NOT NULL DEFAULT '{}',
        enabled boolean NOT NULL DEFAULT true,
        renotify_s integer NOT NULL DEFAULT 0,
        muted_until timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT alert_rules_pkey PRIMARY KEY (tenant_id, id),
        CONSTRAINT alert_rules_name_key UNIQUE (tenant_id, name),
        CONSTRAINT alert_rules_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id)
    );
    CREATE TABLE alert_channels (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        name varchar(100) NOT NULL,
        kind varchar(10) NOT NULL,
        shown varchar(255) NOT NULL,
        target text NOT NULL,
        secret text,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT alert_channels_pkey PRIMARY KEY (tenant_id, id),
        CONSTRAINT alert_channels_name_key UNIQUE (tenant_id, name),
        CONSTRAINT alert_channels_tenant_id_fkey FOREIGN KEY (tenant_id)
            REFERENCES tenants (id)
    );
    CREATE TABLE alerts (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        rule_id uuid NOT NULL,
        rule_name varchar(100) NOT NULL,
        severity varchar(10) NOT NULL,
        "group" varchar(255) NOT NULL,
        state varchar(10) NOT NULL,
        value double precision NOT NULL,
        threshold double precision NOT NULL,
        window_s integer NOT NULL,
        pending_at timestamptz NOT NULL,
        fired_at timestamptz,
        calm_since timestamptz,
        resolved_at timestamptz,
        notified_at timestamptz,
        acknowledged_at timestamptz,
        acknowledged_by varchar(255),
        silenced_until timestamptz,
        record_ids uuid[] NOT NULL DEFAULT '{}',
        CONSTRAINT alerts_pkey PRIMARY KEY (tenant_id, id),
        CONSTRAINT alerts_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id)
    );
    CREATE UNIQUE INDEX alerts_open_idx ON alerts (tenant_id, rule_id, "group")
        WHERE state <> 'resolved';
    CREATE TABLE alert_events (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        alert_id uuid NOT NULL,
        event varchar(20) NOT NULL,
        at timestamptz NOT NULL,
        value double precision,
        by varchar(255),
        record_ids uuid[] NOT NULL DEFAULT '{}',
        CONSTRAINT alert_events_pkey PRIMARY KEY (tenant_id, id)
    );
    CREATE INDEX alert_events_alert_idx ON alert_events (tenant_id, alert_id, at);
    CREATE TABLE alert_deliveries (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        channel_id uuid NOT NULL,
        event varchar(20) NOT NULL,
        payload jsonb NOT NULL,
        state varchar(10) NOT NULL DEFAULT 'queued',
        attempts integer NOT NULL DEFAULT 0,
        due_at timestamptz NOT NULL DEFAULT now(),
        answer text,
        created_at timestamptz NOT NULL DEFAULT now(),
        done_at timestamptz,
        CONSTRAINT alert_deliveries_pkey PRIMARY KEY (tenant_id, id)
    );
    CREATE INDEX alert_deliveries_due_idx ON alert_deliveries (due_at)
        WHERE state = 'queued';
    CREATE TABLE alert_cursors (
        tenant_id uuid NOT NULL,
        seq bigint NOT NULL DEFAULT 0,
        evaluated_at timestamptz,
        active_until timestamptz,
        CONSTRAINT alert_cursors_pkey PRIMARY KEY (tenant_id),
        CONSTRAINT alert_cursors_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id)
    );
    CREATE TABLE recent_minutes (
        tenant_id uuid NOT NULL,
        kind varchar(10) NOT NULL,
        start timestamptz NOT NULL,
        cells bytea NOT NULL,
        CONSTRAINT recent_minutes_pkey PRIMARY KEY (tenant_id, kind, start)
    );
"""


def upgrade() -> None:
    op.execute(SCHEMA)
    for table, grants in TABLES.items():
        op.execute(
            f"""
            ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
            CREATE POLICY maintenance_watches ON {table} TO opsledger_maintenance
                USING (true) WITH CHECK (true);
            GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO opsledger_maintenance;
            """
        )
        if table != "recent_minutes":
            op.execute(
                f"CREATE POLICY tenant_manages ON {table} TO opsledger_web"
                f" USING ({TENANT}) WITH CHECK ({TENANT})"
            )
        if grants:
            op.execute(f"GRANT {grants} ON {table} TO opsledger_web")
    op.execute(
        """
        GRANT INSERT, DELETE, SELECT (tenant_id, id, name, kind, shown, created_at)
            ON alert_channels TO opsledger_web;
        GRANT UPDATE (acknowledged_at, acknowledged_by, silenced_until) ON alerts
            TO opsledger_web;
        """
    )


def downgrade() -> None:
    for table in reversed(TABLES):
        op.execute(f"DROP TABLE {table}")
