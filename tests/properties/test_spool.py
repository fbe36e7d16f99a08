"""The spool as a state machine: two processes on one folder, in any order of events.

Whatever they do, no record that was kept and not confirmed is missing in the end, none appears
that was never appended, and those of one process keep their order.
"""

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from app.errors import SpoolFull
from app.spool import Shipment, Spool
from app.spool.frames import FRAME_HEADER
from tests.support.samples import open_spool, recover

BYTES_MAX = 1500
RESERVE = 300

processes = st.sampled_from([0, 1])


@dataclass
class Life:
    """What one process knows between its start and its end."""

    spool: Spool
    number: int  # of its kind, so that its records can be told from those of others
    appended: int = 0
    open: dict[UUID, Shipment] = field(default_factory=dict)
    held: set[bytes] = field(default_factory=set)  # handed out in this life
    newest: dict[int, int] = field(default_factory=dict)  # by life: the last record handed out


def origin(payload: bytes) -> tuple[int, int]:
    """Which life appended a record, and as its how-manieth."""
    life, number, _ = payload.split(b" ")
    return int(life), int(number)


class SpoolMachine(RuleBasedStateMachine):
    """Two processes that live, die and inherit from each other."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="opsledger-spool-"))
        self.lives = 0
        self.appended: set[bytes] = set()
        self.forgotten: set[bytes] = set()

    @initialize()
    def start(self) -> None:
        """Both processes start on an empty folder."""
        self.processes = [self._born(), self._born()]

    def _born(self) -> Life:
        self.lives += 1
        bounds = {"bytes_max": BYTES_MAX, "reserve_bytes": RESERVE, "segment_bytes_max": 120}
        return Life(open_spool(self.folder, **bounds), self.lives)

    @rule(who=processes, size=st.integers(0, 200), reserved=st.booleans())
    def append(self, who: int, size: int, reserved: bool) -> None:
        """A record is kept, or refused for want of room and then not there."""
        life = self.processes[who]
        payload = b"%d %d %s" % (life.number, life.appended, b"x" * size)
        try:
            life.spool.append(payload, reserved=reserved)
        except SpoolFull:
            kept = sum(map(len, self.appended - self.forgotten))
            assert len(payload) + FRAME_HEADER.size + life.spool.status().bytes > BYTES_MAX, kept
            return
        life.appended += 1
        self.appended.add(payload)

    @rule(who=processes, rows=st.integers(1, 5))
    def take(self, who: int, rows: int) -> None:
        """What is handed out was appended, not yet handed out here, and in its order."""
        life = self.processes[who]
        shipment = life.spool.take(rows)
        if shipment is None:
            return
        assert 1 <= len(shipment.payloads) <= rows
        for payload in shipment.payloads:
            assert payload in self.appended
            assert payload not in life.held
            author, number = origin(payload)
            assert number > life.newest.get(author, -1)
            life.newest[author] = number
            life.held.add(payload)
        life.open[shipment.id] = shipment

    @precondition(lambda self: any(life.open for life in self.processes))
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        """A shipment is confirmed, in any order."""
        life = data.draw(st.sampled_from([life for life in self.processes if life.open]))
        number = data.draw(st.integers(0, len(life.open) - 1))
        shipment = life.open.pop(list(life.open)[number])
        life.spool.forget(shipment.id)
        self.forgotten |= set(shipment.payloads)

    @rule(who=processes)
    def close(self, who: int) -> None:
        """A process lets go in order; it may come back to its spool."""
        life = self.processes[who]
        life.spool.close()
        assert life.spool.take(1) is None
        life.open.clear()
        life.held.clear()
        life.newest.clear()

    @rule(who=processes)
    def die(self, who: int) -> None:
        """A process is killed: its locks are gone, nothing is tidied. Another takes its place."""
        self.processes[who].spool.after_fork()
        self.processes[who] = self._born()

    @rule(who=processes)
    def adopt(self, who: int) -> None:
        """A process inherits all that nobody holds: then nothing is without an owner."""
        life = self.processes[who]
        life.newest.clear()  # what is older than the records it has comes only now
        life.spool.adopt()
        assert life.spool.adopt() == 0

    @invariant()
    def none_is_lost(self) -> None:
        """The bytes of every unconfirmed record are somewhere in the folder."""
        there = b"".join(path.read_bytes() for path in self.folder.glob("*.seg"))
        for payload in self.appended - self.forgotten:
            assert payload in there

    @invariant()
    def nothing_is_set_aside(self) -> None:
        """Without damage there are no damaged or torn files, and no half-made ones."""
        assert {path.suffix for path in self.folder.iterdir()} <= {".seg"}

    @invariant()
    def pending_means_unconfirmed(self) -> None:
        """A process with open shipments waits for them."""
        for life in getattr(self, "processes", []):
            assert life.spool.pending or not life.open

    def teardown(self) -> None:
        """In the end the next process finds every unconfirmed record, and leaves no file."""
        for life in getattr(self, "processes", []):
            life.spool.after_fork()
        found = recover(self.folder)
        left = list(self.folder.iterdir())
        shutil.rmtree(self.folder)
        assert len(found) == len(set(found))
        assert self.appended - self.forgotten <= set(found) <= self.appended
        assert left == []


TestSpool = SpoolMachine.TestCase
TestSpool.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
