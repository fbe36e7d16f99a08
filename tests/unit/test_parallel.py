"""How the tests are shared among processes: what goes together, and what is alone."""

import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.support import parallel
from tests.support.parallel import HEAVY, Files, is_for_the_end, turn

LATE_S = 0.1


class Process:
    """Takes what the scheduler gives it."""

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.tests: list[int] = []
        self.shutting_down = False

    def send_runtest_some(self, tests: Sequence[int]) -> None:
        self.tests += tests

    def shutdown(self) -> None:
        self.shutting_down = True


def shared(paths: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Two processes, of which each in turn runs a test: the files both have in hand, by step."""
    monkeypatch.setattr(parallel, "is_for_the_end", lambda path: "alone" in path)
    tests = [f"{path}::test_{number}" for path in paths for number in range(4)]
    option = SimpleNamespace(loadscopereorder=False)
    config = SimpleNamespace(getvalue=lambda _: ["popen", "popen"], option=option)
    files: LoadScopeScheduling = Files(config)
    processes = [Process("a"), Process("b")]
    for process in processes:
        files.add_node(process)
        files.add_node_collection(process, tests)
    files.schedule()
    seen, done = [], [0, 0]
    while any(done[n] < len(p.tests) for n, p in enumerate(processes)):
        running = [tests[p.tests[min(done[n], len(p.tests) - 1)]] for n, p in enumerate(processes)]
        seen.append(tuple(test.partition("::")[0] for test in running))
        for n, process in enumerate(processes):
            if done[n] < len(process.tests):
                files.mark_test_complete(process, process.tests[done[n]])
                done[n] += 1
    assert sorted(number for p in processes for number in p.tests) == list(range(len(tests)))
    assert all(process.shutting_down for process in processes)
    return seen


def test_heavy_files_run_one_at_a_time_beside_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as there are others; who wants to be alone comes last."""
    heavy = [f"{HEAVY[0]}{name}.py" for name in "abc"]
    light = [f"tests/unit/{name}.py" for name in "defg"]
    seen = shared(["tests/unit/alone.py", *heavy, *light], monkeypatch)
    both = [pair for pair in seen if set(pair) <= set(heavy)]
    assert both == []
    assert seen[0] == (heavy[0], light[0])
    assert "tests/unit/alone.py" in seen[-1]


def test_when_nothing_else_is_left_heavy_files_run_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody waits without need."""
    heavy = [f"{HEAVY[0]}{name}.py" for name in "ab"]
    assert shared(heavy, monkeypatch)[0] == tuple(heavy)


def test_a_file_that_marks_a_test_is_known_by_it(tmp_path: Path) -> None:
    """And what is called heavy is there."""
    marked = tmp_path / "test_marked.py"
    marked.write_text("@pytest.mark.alone\ndef test_it() -> None: ...\n")
    assert is_for_the_end(str(marked))
    assert not is_for_the_end("tests/unit/test_filters.py")
    assert [path for path in HEAVY if not (parallel.ROOT / path).exists()] == []


def test_who_is_alone_waits_for_all_and_keeps_those_out_who_come_later(tmp_path: Path) -> None:
    """Others share the room, but not by passing one who waits."""
    order: list[str] = []

    def enter(name: str, alone: bool) -> threading.Thread:
        def stay() -> None:
            with turn(tmp_path, alone=alone):
                order.append(name)

        thread = threading.Thread(target=stay)
        thread.start()
        thread.join(LATE_S)
        return thread

    with ExitStack() as inside:
        inside.enter_context(turn(tmp_path, alone=False))
        enter("beside", alone=False).join()
        assert order == ["beside"]
        waiting = [enter("alone", alone=True), enter("later", alone=False)]
        assert order == ["beside"]
    for thread in waiting:
        thread.join()
    assert order == ["beside", "alone", "later"]
