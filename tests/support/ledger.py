"""What the ledger holds, read as the maintenance role, which sees all tenants."""

from typing import Any
from uuid import UUID

from sqlalchemy import text

from app.domain.records import Kind
from app.store.session import Database


def batches(maintenance: Database, tenant_id: UUID) -> list[Any]:
    """The tenant's batches in commit order."""
    with maintenance.unrestricted_unsafe() as session:
        statement = text("SELECT * FROM log_batches WHERE tenant_id = :tenant ORDER BY seq")
        return list(session.execute(statement, {"tenant": tenant_id}))


def rows(maintenance: Database, table: str, tenant_id: UUID) -> list[Any]:
    """The tenant's rows of a log, by id."""
    with maintenance.unrestricted_unsafe() as session:
        statement = text(f"SELECT * FROM {table} WHERE tenant_id = :tenant ORDER BY id")
        return list(session.execute(statement, {"tenant": tenant_id}))


def letters(maintenance: Database, shipment_id: UUID) -> list[Any]:
    """The dead letters of a shipment."""
    with maintenance.unrestricted_unsafe() as session:
        statement = text("SELECT * FROM dead_letters WHERE shipment_id = :shipment ORDER BY id")
        return list(session.execute(statement, {"shipment": shipment_id}))


def received(maintenance: Database, shipment_id: UUID) -> bool:
    """Whether the shipment has its receipt."""
    with maintenance.unrestricted_unsafe() as session:
        statement = text("SELECT 1 FROM shipments WHERE id = :shipment")
        return session.execute(statement, {"shipment": shipment_id}).first() is not None


def check_batches(maintenance: Database, tenant_id: UUID) -> None:
    """Every row belongs to a batch, and every batch counts its rows and their times exactly."""
    for kind, table in ((Kind.ACTION, "action_logs"), (Kind.AUDIT, "audit_logs")):
        of_kind = [batch for batch in batches(maintenance, tenant_id) if batch.kind == kind]
        found = rows(maintenance, table, tenant_id)
        assert {row.batch_id for row in found} == {batch.id for batch in of_kind}
        for batch in of_kind:
            times = [row.created_at for row in found if row.batch_id == batch.id]
            assert (batch.row_count, batch.min_created_at, batch.max_created_at) == (
                len(times),
                min(times),
                max(times),
            )
