"""The naive way to beat: one Celery task per record, which inserts one row by the ORM.

Its own Celery app and table model, with the settings most projects have.
"""

import os
from functools import cache

from celery import Celery
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from app.domain.codec import decode
from app.domain.records import ActionRecord
from app.store.models import ActionLogRow

app = Celery("naive", broker=os.environ.get("REDIS_URL"))
app.conf.update(task_ignore_result=True, task_acks_late=True)


@cache
def engine() -> Engine:
    """As the owner, whom row-level security does not bind."""
    return create_engine(os.environ["OWNER_DATABASE_URL"])


@app.task(name="naive.insert_record")
def insert_record(line: str) -> None:
    """Insert one record in a transaction of its own, and count it as the others are counted."""
    record = decode(line.encode())
    assert isinstance(record, ActionRecord)
    with Session(engine()) as session, session.begin():
        session.add(
            ActionLogRow(
                tenant_id=record.tenant_id,
                created_at=record.created_at,
                id=record.id,
                action_type=record.action_type,
                provider_name=record.provider_name,
                request_payload=record.request_payload,
                response_data=record.response_data,
                status=record.status.value,
                execution_time_ms=record.execution_time_ms,
                batch_id=uuid7(),
            )
        )
        session.execute(COUNT, {"tenant": record.tenant_id, "id": uuid7(), "at": record.created_at})


# So that both ways are counted alike; it is cheap beside the rest.
COUNT = text(
    "INSERT INTO log_batches (tenant_id, id, kind, row_count, min_created_at, max_created_at)"
    " VALUES (:tenant, :id, 'action', 1, :at, :at)"
)
