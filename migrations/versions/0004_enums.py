"""action_type_enum and action_status_enum as domains over text.

Equality on a Postgres enum is not leakproof, so row-level security would keep it from every
index; equality on text is. New action types come by add_action_type(), without a migration.
"""

from alembic import op

revision = "0004_enums"
down_revision = "0003_api_keys"
branch_labels = None
depends_on = None

ACTION_TYPES = [
    "crm_create",
    "crm_update",
    "crm_delete",
    "crm_get",
    "crm_list",
    "crm_search",
    "helpdesk_create_ticket",
    "helpdesk_update_ticket",
    "helpdesk_get_ticket",
    "helpdesk_list_tickets",
    "helpdesk_add_comment",
    "calendar_create_event",
    "calendar_update_event",
    "calendar_delete_event",
    "calendar_get_event",
    "calendar_list_events",
    "email_send",
    "email_get",
    "email_list",
    "email_search",
    "knowledge_store",
    "knowledge_search",
    "knowledge_get",
    "knowledge_delete",
    "knowledge_update",
    "knowledge_list",
]


def upgrade() -> None:
    names = ", ".join(f"'{name}'" for name in ACTION_TYPES)
    rows = ", ".join(f"('{name}')" for name in ACTION_TYPES)
    op.execute(
        f"""
        CREATE DOMAIN action_status_enum AS text CONSTRAINT action_status_known
            CHECK (VALUE IN ('pending', 'success', 'failure', 'timeout', 'retry'));
        CREATE DOMAIN action_type_enum AS text CONSTRAINT action_type_known
            CHECK (VALUE IN ({names}));
        CREATE TABLE action_types (
            name varchar(63) PRIMARY KEY,
            created_at timestamptz NOT NULL DEFAULT now()
        );
        INSERT INTO action_types (name) VALUES {rows};
        GRANT SELECT ON action_types TO opsledger_web, opsledger_worker, opsledger_maintenance;
        """
    )
    op.execute(
        """
        CREATE FUNCTION add_action_type(new_name text) RETURNS boolean
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
        AS $$
        BEGIN
            LOCK TABLE action_types IN EXCLUSIVE MODE;
            INSERT INTO action_types (name) VALUES (new_name) ON CONFLICT DO NOTHING;
            IF NOT FOUND THEN
                RETURN false;
            END IF;
            ALTER DOMAIN action_type_enum DROP CONSTRAINT action_type_known;
            -- NOT VALID: the list only grew, so no stored row has to be looked at.
            EXECUTE format(
                'ALTER DOMAIN action_type_enum ADD CONSTRAINT action_type_known '
                'CHECK (VALUE IN (%s)) NOT VALID',
                (SELECT string_agg(quote_literal(name), ', ' ORDER BY name) FROM action_types)
            );
            RETURN true;
        END
        $$;
        REVOKE ALL ON FUNCTION add_action_type(text) FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION add_action_type(text) TO opsledger_maintenance;
        """
    )


def downgrade() -> None:
    op.execute("DROP FUNCTION add_action_type(text)")
    op.execute("DROP TABLE action_types")
    op.execute("DROP DOMAIN action_type_enum")
    op.execute("DROP DOMAIN action_status_enum")
