"""Reading the archive: DuckDB over segments that the register names, of one tenant at a time.

A query opens no other file, and is bounded in memory and in time; the first one loads DuckDB.
"""

from collections.abc import Mapping, Sequence
from threading import Lock, Timer
from typing import Any
from uuid import UUID

from ..domain.archive import Segment
from ..errors import ArchiveDamaged, ArchiveUnavailable, QueryTimeout, StorageFault
from ..telemetry import COLD_READS, get_logger
from .objects import Objects

MEMORY = "256MB"  # of a process, for all its queries together
THREADS = 2
_TABLE = "WITH segments AS (FROM read_parquet($files, hive_partitioning = false)) "

log = get_logger(__name__)


class ColdStore:
    """Answers questions about segments, in one process.

    Args:
        timeout_s: the longest query, in seconds.
    """

    def __init__(self, objects: Objects, *, timeout_s: float) -> None:
        self._objects = objects
        self._timeout_s = timeout_s
        self._lock = Lock()
        self._connection: Any = None

    def read(
        self,
        tenant_id: UUID,
        segments: Sequence[Segment],
        statement: str,
        values: Mapping[str, Any],
    ) -> list[tuple[Any, ...]]:
        """The rows of a statement in which `segments` is the table of their records.

        Raises:
            ArchiveUnavailable: a file cannot be read, or the memory does not suffice.
            QueryTimeout: it took too long.
        """
        if any(segment.of.tenant_id != tenant_id for segment in segments):
            raise ValueError("segments of another tenant")
        outcome = "failed"
        try:
            with self._objects.opened(segments, within_s=self._timeout_s) as opened:
                files = [str(path) for path in opened]
                found = self._execute(_TABLE + statement, {**values, "files": files})
            outcome = "done"
        except (ArchiveDamaged, StorageFault, OSError) as error:
            log.exception("archive not readable", error=repr(error))
            raise ArchiveUnavailable from error
        finally:
            COLD_READS.labels(outcome).inc()
        return found

    def _execute(self, statement: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        import duckdb  # 30 MB that only readers of the archive need

        cursor = self._connect().cursor()
        timer = Timer(self._timeout_s, cursor.interrupt)
        timer.start()
        try:
            rows: list[tuple[Any, ...]] = cursor.execute(statement, values).fetchall()
        except duckdb.InterruptException as error:
            raise QueryTimeout from error
        except duckdb.Error as error:
            raise OSError(str(error)) from error
        finally:
            timer.cancel()
            cursor.close()
        return rows

    def _connect(self) -> Any:
        with self._lock:
            if self._connection is None:
                import duckdb

                made = duckdb.connect()
                made.execute("SET TimeZone = 'UTC'")
                made.execute(f"SET memory_limit = '{MEMORY}'")
                made.execute(f"SET threads = {THREADS}")
                # It opens nothing but the archive, and fetches nothing from elsewhere.
                made.execute("SET autoinstall_known_extensions = false")
                made.execute("SET temp_directory = ''")
                made.execute("SET allowed_directories = $folders", {"folders": self._folders})
                made.execute("SET enable_external_access = false")
                self._connection = made
            return self._connection

    @property
    def _folders(self) -> list[str]:
        return [str(self._objects.folder)]
