"""A row of a log is never updated: not by grant, and not by who owns the table either.

Erasure will be the one exception, by a function of its own. The triggers fire on UPDATE alone, so
COPY is as fast as before; partitions to come get them when they are attached.
"""

from alembic import op

revision = "0017_log_rows_are_final"
down_revision = "0016_api_key_networks"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE FUNCTION refuse_update() RETURNS trigger
        LANGUAGE plpgsql SET search_path = public, pg_temp
        AS $$
        BEGIN
            RAISE EXCEPTION 'a row of a log is never updated (%)', TG_TABLE_NAME
                USING ERRCODE = 'insufficient_privilege';
        END
        $$;
        REVOKE ALL ON FUNCTION refuse_update() FROM PUBLIC;
        """
    )
    for table in ("action_logs", "audit_logs"):
        op.execute(
            f"CREATE TRIGGER {table}_final BEFORE UPDATE ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION refuse_update()"
        )


def downgrade() -> None:
    for table in ("action_logs", "audit_logs"):
        op.execute(f"DROP TRIGGER {table}_final ON {table}")
    op.execute("DROP FUNCTION refuse_update()")
