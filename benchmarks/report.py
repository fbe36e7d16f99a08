"""The figures as people read them: a table in docs/benchmarks.md and a picture beside it.

Both are made of latest.json alone, so that no number is copied by hand.
"""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "benchmarks.md"
PICTURE = "ingest"  # docs/ingest.svg and docs/ingest.png
BLOCK = re.compile(r"(<!-- figures: throughput -->\n).*?(<!-- end of figures -->)", re.S)
WAYS = {
    "none": "no logging (Flask)",
    "ours": "`log_action`",
    "task": "one Celery task per record",
    "orm": "one row by the ORM, in the request",
    "django": "no logging (Django)",
    "auditlog": "django-auditlog, in the request",
    "bare_none": "no logging, a view without a provider",
    "bare_ours": "`log_action`, a view without a provider",
}
COLOURS = dict.fromkeys(("ours", "bare_ours"), "#1f6f4a")
PLAIN = "#9aa5b1"


def write(figures: dict[str, Any]) -> None:
    """Bring page and picture up to the figures."""
    ways = _measured(figures)
    if not ways:
        return
    made = "\n".join(["", *table(figures), "", ""])
    PAGE.write_text(BLOCK.sub(lambda found: found[1] + made + found[2], PAGE.read_text()))
    if find_spec("matplotlib") is None:
        print("matplotlib is not installed here (make bench installs it): the pictures stay")
        return
    _draw(figures, ways)


def table(figures: dict[str, Any]) -> list[str]:
    """The lines of the table of what logging costs a request."""
    lines = ["| way of logging | ratio to none | p50 | p99 | memory of web | of a worker |"]
    lines.append("|---|---|---|---|---|---|")
    for way in _measured(figures):
        ratio = figures.get(f"throughput.{way}.ratio", 1.0)
        p50, p99 = (figures[f"throughput.{way}.{name}_ms"] for name in ("p50", "p99"))
        worker = figures.get(f"memory.{way}.worker_mib")
        lines.append(
            f"| {WAYS[way]} | {ratio:.2f} | {p50:.1f} ms | {p99:.1f} ms"
            f" | {figures[f'memory.{way}.web_mib']:.0f} MiB"
            f" | {f'{worker:.0f} MiB' if worker else 'none'} |"
        )
    return lines


def _measured(figures: dict[str, Any]) -> list[str]:
    return [way for way in WAYS if f"memory.{way}.web_mib" in figures]


def _draw(figures: dict[str, Any], ways: list[str]) -> None:
    import matplotlib as mpl  # here, since the table is written without it too

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "opsledger"  # the same figures, the same bytes
    from matplotlib import pyplot as plt

    names = [WAYS[way].replace("`", "") for way in ways][::-1]
    colours = [COLOURS.get(way, PLAIN) for way in ways][::-1]
    ratios = [figures.get(f"throughput.{way}.ratio", 1.0) for way in ways][::-1]
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6), sharey=True, layout="constrained")
    bars = left.barh(names, ratios, color=colours)
    left.bar_label(bars, fmt="%.2f", padding=3)
    left.set_xlim(0, 1.15)
    left.set_xlabel("requests per second, ratio to no logging")
    for name, alpha in (("p99", 0.45), ("p50", 1.0)):
        times = [figures[f"throughput.{way}.{name}_ms"] for way in ways][::-1]
        right.barh(names, times, color=colours, alpha=alpha, label=name)
    right.set_xlabel("ms per request: p50 (dark), p99 (light)")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"What logging costs a request ({figures['machine']})")
    for suffix, metadata in (("svg", {"Date": None}), ("png", {"Software": None})):
        figure.savefig(DOCS / f"{PICTURE}.{suffix}", dpi=120, metadata=metadata)
    plt.close(figure)
