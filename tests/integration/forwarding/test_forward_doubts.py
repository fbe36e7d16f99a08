"""What is sent where it is not known what arrived, and what those that fail leave to others."""

import json
import threading
import time
from datetime import timedelta
from uuid import uuid4

from app.domain.forwarding import TRIAL_ROWS
from app.store.forward_progress import begin_cursors
from app.store.forwarding import Claimed, claim_next
from app.store.session import Database
from tests.integration.forwarding.test_forwarding import actions, got, webhook
from tests.support.forwarding import Line, act, made, shown
from tests.support.receiver import Receiver, receiving
from tests.support.tails import ids
from tests.support.world import (
    World,
    action,
    eventually,
)


def claimed(maintenance: Database, line: Line, *, failing: bool = True) -> Claimed | None:
    """Whoever's turn it is, for half a minute."""
    with maintenance.unrestricted_unsafe() as session:
        begin_cursors(session)
        return claim_next(session, uuid4(), now=line.now(), lease_s=30.0, failing=failing)


def test_where_it_is_not_known_what_arrived_few_records_are_sent_at_a_time(
    world: World, line: Line, receiver: Receiver
) -> None:
    """And more and more from then on; what was said in so many words is not in doubt."""
    who = world.settle()
    destination = webhook(who, receiver, kinds=["action"])
    records = actions(who, 8 * TRIAL_ROWS)
    world.put(*records)
    receiver.status = 503
    line.run()
    assert shown(who, destination)["unsure_at"] is None
    receiver.status = 504  # a gateway, which does not know
    line.run(later_s=10)
    told = shown(who, destination)["unsure_at"]
    assert told
    receiver.judge = lambda _: 0  # it hangs up
    line.run(later_s=30)
    assert shown(who, destination)["unsure_at"] > told
    receiver.judge, receiver.status, receiver.got = None, 200, []
    act(who, destination, "resume")
    line.run()
    sizes = [len(json.loads(body)) for _, body in receiver.got]
    assert sizes[0] == TRIAL_ROWS
    assert got(receiver) == ids(*records)
    more = actions(who, 8 * TRIAL_ROWS)
    world.put(*more)
    receiver.got = []
    line.run(later_s=60)
    assert [len(json.loads(body)) for _, body in receiver.got] == [len(more)]


def test_who_knows_a_repeat_by_its_page_is_sent_the_same_page(
    world: World, line: Line, receiver: Receiver
) -> None:
    """However often it failed: a part of it under another name would be there twice."""
    who = world.settle()
    made(who, "elasticsearch", {"url": receiver.url, "compress": False}, kinds=["action"])
    world.put(*actions(who, 8 * TRIAL_ROWS))
    receiver.status = 503
    for _ in range(4):
        line.run(later_s=300)
    bodies = {body for _, body in receiver.got}
    assert len(receiver.got) == 4
    assert [body.count(b"\n") for body in bodies] == [2 * 8 * TRIAL_ROWS]


def test_a_thread_is_left_to_those_that_are_well(
    world: World, line: Line, receiver: Receiver, maintenance: Database
) -> None:
    """Those that failed the last time can be left out, whoever waits longest."""
    who = world.settle()
    failing = webhook(who, receiver, name="failing")
    world.put(action(who.tenant_id))
    receiver.status = 503
    line.run()
    webhook(who, receiver, name="well")
    world.put(action(who.tenant_id))
    line.ahead += timedelta(seconds=60)
    found = claimed(maintenance, line, failing=False)
    assert found is not None
    assert found.destination.name == "well"
    assert claimed(maintenance, line, failing=False) is None
    found = claimed(maintenance, line)
    assert found is not None
    assert str(found.destination.id) == failing["id"]


def test_those_that_hang_do_not_keep_one_that_is_well_from_its_records(
    world: World, receiver: Receiver
) -> None:
    """As many as there are threads, each hanging for seconds; in the worker's own loop."""
    who = world.settle()
    hung, begun = threading.Event(), time.monotonic()

    def hang(_: bytes) -> int:
        hung.wait(20)
        return 503

    with receiving() as pit:
        pit.status = 503
        for number in range(6):
            webhook(who, pit, name=f"hangs {number}")
        world.put(action(who.tenant_id))
        line = Line(world)
        line.run()
        pit.judge = hang
        line.ahead += timedelta(seconds=60)
        line.forwarder.start()
        try:
            eventually(lambda: len(pit.got) >= 6 + 3)  # all the threads that they may have
            webhook(who, receiver, name="well", kinds=["action"])
            record = action(who.tenant_id)
            world.put(record)
            eventually(lambda: str(record.id) in got(receiver))
            assert not hung.is_set()
            assert time.monotonic() - begun < 18
        finally:
            hung.set()
            line.forwarder.stop()


def test_who_takes_over_from_a_worker_that_died_does_not_send_much_at_a_time(
    world: World, line: Line, receiver: Receiver, maintenance: Database
) -> None:
    """Nobody knows what that had sent; one that gave its lease back leaves no doubt."""
    who = world.settle()
    destination = webhook(who, receiver, kinds=["action"])
    world.put(*actions(who, 3 * TRIAL_ROWS))
    line.run()
    assert [len(json.loads(body)) for _, body in receiver.got] == [3 * TRIAL_ROWS]
    assert claimed(maintenance, line) is None  # nothing waits
    world.put(*actions(who, 3 * TRIAL_ROWS))
    assert claimed(maintenance, line) is not None  # by one that dies
    receiver.got = []
    assert line.run(later_s=5) == 0
    line.run(later_s=60)
    assert shown(who, destination)["unsure_at"]
    assert len(json.loads(receiver.got[0][1])) == TRIAL_ROWS
    assert shown(who, destination)["waiting_records"] == 0
