"""The roles of the processes; each is granted just what it needs by the migrations that follow.

Roles belong to the whole Postgres server, so a downgrade leaves them.
"""

from alembic import op

revision = "0001_roles"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        DO $$
        DECLARE
            wanted text;
        BEGIN
            FOREACH wanted IN ARRAY ARRAY[
                'opsledger_web', 'opsledger_worker', 'opsledger_maintenance'
            ] LOOP
                IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
                    BEGIN
                        EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
                    EXCEPTION WHEN duplicate_object OR unique_violation THEN
                        NULL;  -- another database of this server was migrated meanwhile
                    END;
                END IF;
            END LOOP;
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE EXCEPTION 'the role % may not create roles', current_user
                USING HINT = 'As an administrator, once: CREATE ROLE opsledger_web NOLOGIN; '
                    'CREATE ROLE opsledger_worker NOLOGIN; '
                    'CREATE ROLE opsledger_maintenance NOLOGIN;';
        END
        $$
        """
    )
    op.execute("GRANT SELECT ON alembic_version TO opsledger_maintenance")


def downgrade() -> None:
    op.execute("REVOKE SELECT ON alembic_version FROM opsledger_maintenance")
