"""The count: every accepted id against Postgres, seen by the maintenance role."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from app.store.session import Database

from .load import PROVIDER, Tally
from .statistics import CELLS, Cell, disagreements

CONTACTS = """
    SELECT response_data->>'id' FROM action_logs
    WHERE action_type = 'crm_create' AND status = 'success'
"""
INGESTED = "SELECT id::text FROM action_logs WHERE provider_name = :provider"
TENANT = "SELECT id::text FROM tenants WHERE slug = 'demo'"
ROWS = "SELECT (SELECT count(*) FROM action_logs) + (SELECT count(*) FROM audit_logs)"
# Batches whose row_count is not the number of rows that name them, and rows of no batch.
BATCHES = """
    WITH rows AS (
        SELECT tenant_id, 'action' AS kind, batch_id, count(*) AS n FROM action_logs GROUP BY 1, 3
        UNION ALL
        SELECT tenant_id, 'audit', batch_id, count(*) FROM audit_logs GROUP BY 1, 3
    )
    SELECT count(*) FROM rows FULL JOIN log_batches AS b
        ON b.id = rows.batch_id AND b.tenant_id = rows.tenant_id AND b.kind::text = rows.kind
    WHERE rows.n IS DISTINCT FROM b.row_count
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the accepted records."""

    accepted: int
    persisted: int
    lost: int
    duplicated: int
    extra: int
    dead_lettered: int
    batches_disagreeing: int
    statistics_equal: bool
    statistics_wrong: tuple[str, ...]
    lost_ids: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the promise was kept."""
        wrong = self.lost or self.duplicated or self.dead_lettered or self.batches_disagreeing
        return self.statistics_equal and not wrong


class Ledger:
    """What Postgres holds."""

    def __init__(self, url: str) -> None:
        self._database = Database.connect(url)

    def rows(self) -> int:
        """How many records there are."""
        return int(self._all(ROWS)[0])

    def judge(self, tally: Tally, statistics: dict[str, Any]) -> Verdict:
        """Compare what was accepted with what is there; extra is what came of requests whose
        answer was lost on its way.

        Args:
            statistics: what the API says of the only tenant whose key the load has.
        """
        wrong = disagreements(statistics, self._cells())
        contacts = Counter(self._all(CONTACTS))
        ingested = Counter(self._all(INGESTED, provider=PROVIDER))
        found = contacts + ingested
        accepted = [*tally.contacts, *tally.ingested]
        missing = sorted(set(accepted) - found.keys())
        return Verdict(
            accepted=len(accepted),
            persisted=len(accepted) - len(missing),
            lost=len(missing),
            duplicated=sum(number - 1 for number in found.values()),
            extra=len(found.keys() - set(accepted)),
            dead_lettered=int(self._all("SELECT count(*) FROM dead_letters")[0]),
            batches_disagreeing=int(self._all(BATCHES)[0]),
            statistics_equal=not wrong,
            statistics_wrong=tuple(wrong),
            lost_ids=tuple(missing[:10]),
        )

    def _cells(self) -> list[Cell]:
        (tenant,) = self._all(TENANT)
        with self._database.unrestricted_unsafe() as session:
            rows = session.execute(text(CELLS), {"tenant": tenant})
            return [Cell(*row[:4], int(row[4])) for row in rows]

    def close(self) -> None:
        """Let go of the connections."""
        self._database.close()

    def _all(self, statement: str, **values: Any) -> list[Any]:
        with self._database.unrestricted_unsafe() as session:
            return list(session.execute(text(statement), values).scalars())
