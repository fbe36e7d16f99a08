"""A worker that stops in the middle of a transaction and holds its locks."""

import time
from collections.abc import Iterator
from uuid import uuid4

import pytest
from sqlalchemy import text

from app.domain.codec import encode
from app.errors import StoreUnavailable
from app.pipeline.persist import Outcome, Persister
from app.store import batches
from app.store.batches import LOCK_TENANTS, LedgerWriter
from app.store.session import Database
from tests.support.samples import action


@pytest.fixture
def database(environment: dict[str, str]) -> Iterator[Database]:
    """The worker's."""
    database = Database.connect(environment["WORKER_DATABASE_URL"])
    yield database
    database.close()


def test_it_does_not_hold_its_shipment_for_ever(
    database: Database, maintenance: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has it next gives it back to the queue, and stores it once the locks are free."""
    monkeypatch.setattr(batches, "IDLE_S_MAX", 3)
    monkeypatch.setattr(batches, "LOCK_WAIT_S_MAX", 1)
    tenant_id = uuid4()
    with maintenance.unrestricted_unsafe() as session:
        add = "INSERT INTO tenants (id, name, slug) VALUES (:id, 'frozen', :id)"
        session.execute(text(add), {"id": str(tenant_id)})
    shipment_id, body = uuid4(), encode(action(tenant_id=tenant_id))
    persister = Persister(database)
    # The frozen one reaches its commit too late.
    with pytest.raises(StoreUnavailable), database.unrestricted_unsafe() as frozen:  # noqa: PT012
        writer = LedgerWriter(frozen)
        writer.receive(shipment_id, [str(tenant_id)])
        writer._cursor.execute(LOCK_TENANTS, ([str(tenant_id)],))
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            persister.persist(shipment_id, body)
        assert time.monotonic() - started < 2.5
        # Another shipment of the tenant waits for its lock, in vain at first.
        with pytest.raises(StoreUnavailable):
            persister.persist(uuid4(), encode(action(tenant_id=tenant_id)))
        time.sleep(2)
        assert persister.persist(shipment_id, body) == Outcome(inserted=1)
    assert persister.persist(shipment_id, body) == Outcome(duplicates=1)
