"""What requests feel of a broker that is slow, hangs or is away: one CRM call, before and during.

Each state is measured right after a broker that is well, in turn, over the same link, so that what
else the machine does falls on both.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.product import Product

from .chaos.link import Link, linked
from .support import Bench, percentile, servers

SLOW_S = 0.2  # longer for everything on its way to the broker
STATES = ("slow", "frozen", "stopped")
WARM_UP_CALLS = 20  # they fill caches and pools


def run(smoke: bool) -> dict[str, float]:
    """Milliseconds per call with the broker well and in each state, and ratios and differences."""
    rounds, calls = (1, 20) if smoke else (10, 100)
    well: dict[str, list[float]] = {state: [] for state in STATES}
    ill: dict[str, list[float]] = {state: [] for state in STATES}
    with servers() as bench, linked(lambda: bench.broker.port) as link:
        env = through(link, bench)
        with Product(env, bench.folder, ("web", "worker")) as product:
            _measure(product, WARM_UP_CALLS)
            for _ in range(rounds):
                for state in STATES:
                    well[state] += _measure(product, calls)
                    with broken(state, bench, link):
                        ill[state] += _measure(product, calls)
    everything_well = [time for state in STATES for time in well[state]]
    figures = {
        "outage.up.p50_ms": percentile(everything_well, 0.5),
        "outage.up.p99_ms": percentile(everything_well, 0.99),
    }
    for state in STATES:
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            before, during = percentile(well[state], share), percentile(ill[state], share)
            figures[f"outage.{state}.{name}_ms"] = during
            figures[f"outage.{state}.{name}_ratio"] = during / before
            figures[f"outage.{state}.{name}_more_ms"] = during - before
    return figures


def through(link: Link, bench: Bench) -> dict[str, str]:
    """The environment in which the broker is reached over the link."""
    url = bench.env["REDIS_URL"].replace(f":{bench.broker.port}/", f":{link.port}/")
    return {**bench.env, "REDIS_URL": url}


@contextmanager
def broken(state: str, bench: Bench, link: Link) -> Iterator[None]:
    """Bring the broker into a state, and mend it at the end."""
    if state == "slow":
        link.slow(SLOW_S)
        yield
        link.heal()
    elif state == "frozen":
        os.kill(bench.broker.pid or 0, signal.SIGSTOP)
        yield
        os.kill(bench.broker.pid or 0, signal.SIGCONT)
    else:
        bench.broker.stop()
        yield
        bench.broker.start()


def _measure(product: Product, calls: int) -> list[float]:
    return [product.call_crm() for _ in range(calls)]
