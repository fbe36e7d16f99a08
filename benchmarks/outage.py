"""What requests feel of a broker that is away or hangs: the same CRM call, before and during."""

import os
import signal

from tests.support.product import Product

from .support import percentile, servers

WARM_UP_CALLS = 20  # they fill caches and pools


def run(smoke: bool) -> dict[str, float]:
    """Milliseconds per call with the broker up, stopped and frozen, and ratios to up."""
    calls = 20 if smoke else 500
    with servers() as bench, Product(bench.env, bench.folder, ("web", "worker")) as product:
        figures: dict[str, list[float]] = {"up": _measure(product, calls)}
        os.kill(bench.broker.pid or 0, signal.SIGSTOP)
        figures["frozen"] = _measure(product, calls)
        os.kill(bench.broker.pid or 0, signal.SIGCONT)
        bench.broker.stop()
        figures["stopped"] = _measure(product, calls)
    result = {}
    for state, times in figures.items():
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            result[f"outage.{state}.{name}_ms"] = percentile(times, share)
            base = percentile(figures["up"], share)
            if state != "up":
                result[f"outage.{state}.{name}_ratio"] = percentile(times, share) / base
    return result


def _measure(product: Product, calls: int) -> list[float]:
    return [product.call_crm() for _ in range(WARM_UP_CALLS + calls)][WARM_UP_CALLS:]
