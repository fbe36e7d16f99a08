"""Erasures that were asked for: previewed, and carried out once somebody confirmed them.

The audit log that says one is done is committed before it is noted as done, under an id that the
first try chose: so it is there once, whoever dies.
"""

import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from uuid_utils.compat import uuid7

from ..config import Settings
from ..domain.codec import encode
from ..domain.erasure import Erasure, ErasureState, Subject
from ..domain.records import audit_record
from ..domain.views import erase_view
from ..errors import Conflict, OpsledgerError
from ..spool import spool_status
from ..store.erasures import expire_previews, keep_audit_id, list_waiting, note_erasure
from ..store.places import open_archive
from ..store.session import Database
from ..store.views import every_view, reword_view
from ..telemetry import get_logger
from .erasing import Eraser, ErasureReport
from .exporting import withdraw
from .persist import Persister

log = get_logger(__name__)

PREVIEW_DAYS_MAX = 7  # then nobody confirms it any more, and the person's name is forgotten


@dataclass(frozen=True, slots=True)
class Erasures:
    """Previews and carries out.

    Args:
        database: of the maintenance role.
        persister: commits the audit log.
    """

    database: Database
    settings: Settings
    persister: Persister

    def preview(self, tenant_id: UUID, subject: Subject) -> ErasureReport:
        """What erasing a person would find.

        Raises:
            StoreUnavailable, ArchiveDamaged, ArchiveUnavailable: it cannot be told now.
        """
        report = self._noted(self._eraser(tenant_id, subject).preview(), subject)
        report.found["views"] += self._views(tenant_id, subject, erase=False)
        return report

    def carry_out(self, erasure: Erasure, subject: Subject) -> ErasureReport:
        """Erase a person, from the tenant's views too, withdraw its exports, and put on record that
        it is done.

        Raises:
            Conflict: somebody is at work on the archive, or makes an export.
            StoreUnavailable, ArchiveDamaged, ArchiveUnavailable, OSError: it is not done; a next
                try goes on.
        """
        report = self._noted(self._eraser(erasure.tenant_id, subject).run(erasure), subject)
        report.erased["exports"] += withdraw(
            self.database, self.settings, erasure.tenant_id, subject
        )
        views = self._views(erasure.tenant_id, subject, erase=True)
        report.found["views"] += views
        report.erased["views"] += views
        with self.database.unrestricted_unsafe() as session:
            audit_id = keep_audit_id(session, erasure, uuid7())
        self._put_on_record(erasure, audit_id, report)
        with self.database.unrestricted_unsafe() as session:
            now = datetime.now(UTC)
            values = {"report": report.as_json(), "finished_at": now}
            note_erasure(session, erasure, ErasureState.DONE, **values)
        return report

    def run(self) -> int:
        """Preview what was asked for, carry out what was confirmed; returns how many."""
        with self.database.unrestricted_unsafe() as session:
            expire_previews(session, datetime.now(UTC) - timedelta(days=PREVIEW_DAYS_MAX))
            waiting = list_waiting(session)
        done = 0
        for erasure in waiting:
            try:
                done += self._step(erasure)
            except Conflict as error:
                log.info("erasure waits", erasure=str(erasure.id), reason=error.detail)
            except (OpsledgerError, OSError) as error:  # the others need not wait for it
                log.exception("erasure not done", erasure=str(erasure.id), error=repr(error))
        return done

    def _step(self, erasure: Erasure) -> bool:
        if erasure.subject is None:
            return False
        if erasure.state is ErasureState.CONFIRMED:
            self.carry_out(erasure, erasure.subject)
            return True
        report = self.preview(erasure.tenant_id, erasure.subject)
        with self.database.unrestricted_unsafe() as session:
            note_erasure(session, erasure, ErasureState.PREVIEWED, report=report.as_json())
        return True

    def _eraser(self, tenant_id: UUID, subject: Subject) -> Eraser:
        objects = open_archive(self.settings)
        return Eraser(self.database, objects, tenant_id, subject)

    def _views(self, tenant_id: UUID, subject: Subject, *, erase: bool) -> int:
        """How many of a tenant's views name a person; from which they go, if they are to."""
        with self.database.unrestricted_unsafe() as session:
            views = every_view(session, tenant_id)
            changed = [new for view in views if (new := erase_view(view, subject))]
            for view in changed if erase else ():
                reword_view(session, tenant_id, view)
        return len(changed)

    def _noted(self, report: ErasureReport, subject: Subject) -> ErasureReport:
        waiting = spool_status(self.settings.spool_dir).bytes
        if waiting:
            report.unsearched.append(
                f"{waiting} bytes wait in the spool of {socket.gethostname()}: erase again once"
                " they have arrived; other hosts may have some too"
            )
        if not subject.is_sought_within:
            report.unsearched.append(
                "texts that hold more than the id: it is too short to be found in them safely"
            )
        return report

    def _put_on_record(self, erasure: Erasure, audit_id: UUID, report: ErasureReport) -> None:
        record = audit_record(
            {
                "id": audit_id,
                "tenant_id": erasure.tenant_id,
                "user_id": erasure.confirmed_by,
                "action": "erase",
                "resource_type": "person",
                "resource_id": str(erasure.id),
                "changes": {"after": report.as_json()},
                "metadata": {
                    "outcome": "success",
                    "known_by": erasure.subject_kind.value,
                    "host": socket.gethostname(),
                },
            }
        )
        self.persister.persist(audit_id, encode(record))


def run_erasures(database: Database, settings: Settings, persister: Persister) -> None:
    """Preview and carry out what waits."""
    Erasures(database, settings, persister).run()
