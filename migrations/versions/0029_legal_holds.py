"""Legal holds: what must not be purged or erased, by whose word, since when and until when.

action_is_held() and audit_is_held() say of a row whether a hold covers it. What removes or changes
rows asks it inside of the database, so that no code of ours can pass a hold over.
"""

from alembic import op

revision = "0029_legal_holds"
down_revision = "0028_alerts"
branch_labels = None
depends_on = None

TABLE = """
    CREATE TABLE legal_holds (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        scope varchar(10) NOT NULL,
        resource_type varchar(100),
        resource_id varchar(255),
        user_id varchar(255),
        reason text NOT NULL,
        placed_by varchar(255) NOT NULL,
        placed_at timestamptz NOT NULL DEFAULT now(),
        released_by varchar(255),
        released_at timestamptz,
        CONSTRAINT legal_holds_pkey PRIMARY KEY (tenant_id, id),
        CONSTRAINT legal_holds_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id),
        CONSTRAINT legal_holds_scope_check CHECK (
            (scope = 'tenant') = (num_nonnulls(resource_type, resource_id, user_id) = 0)
            AND (scope = 'resource') = (num_nonnulls(resource_type, resource_id) = 2)
            AND (scope = 'user') = (user_id IS NOT NULL)
            AND num_nonnulls(resource_type, resource_id) <> 1
            AND scope IN ('tenant', 'resource', 'user')
        ),
        CONSTRAINT legal_holds_release_check
            CHECK ((released_at IS NULL) = (released_by IS NULL))
    );
    ALTER TABLE legal_holds ENABLE ROW LEVEL SECURITY;
    CREATE POLICY maintenance_holds ON legal_holds TO opsledger_maintenance
        USING (true) WITH CHECK (true);
    GRANT SELECT, INSERT, UPDATE (released_by, released_at) ON legal_holds
        TO opsledger_maintenance;
"""
# A user's hold covers all that has the user's id in it, were it part of a longer word: a hold that
# keeps too much can be released, and one that keeps too little cannot be made up for.
NAMES = """position(h.user_id in concat_ws(E'\\n', {texts})) > 0
            OR position(substr(to_jsonb(h.user_id)::text, 2, length(to_jsonb(h.user_id)::text) - 2)
                        in concat_ws(E'\\n', {documents})) > 0"""
IS_HELD = """
    CREATE FUNCTION {kind}_is_held(l {log}) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = public, pg_temp
    AS $$
        SELECT EXISTS (
            SELECT FROM legal_holds h
            WHERE h.tenant_id = l.tenant_id AND h.released_at IS NULL AND (
                h.scope = 'tenant' OR {resource}
                h.scope = 'user' AND ({names})
            )
        )
    $$;
    REVOKE ALL ON FUNCTION {kind}_is_held({log}) FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION {kind}_is_held({log}) TO opsledger_maintenance;
"""
RESOURCE = """h.scope = 'resource' AND (h.resource_type, h.resource_id)
                    = (l.resource_type, l.resource_id) OR"""
LOGS = {
    "action": (
        "",
        "l.operation_id, l.error_message",
        "l.request_payload, l.response_data, l.metadata",
    ),
    "audit": (
        RESOURCE,
        "l.user_id, l.resource_id, l.ip_address, l.user_agent, l.operation_id",
        "l.changes, l.metadata",
    ),
}


def upgrade() -> None:
    op.execute(TABLE)
    for kind, (resource, texts, documents) in LOGS.items():
        names = NAMES.format(texts=texts, documents=documents)
        held = IS_HELD.format(kind=kind, log=f"{kind}_logs", resource=resource, names=names)
        op.execute(held)


def downgrade() -> None:
    for kind in LOGS:
        op.execute(f"DROP FUNCTION {kind}_is_held({kind}_logs)")
    op.execute("DROP TABLE legal_holds")
