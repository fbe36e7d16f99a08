"""docs/metrics.md, made of the catalogue; `python -m tests.checks.metrics` writes it."""

from pathlib import Path

from app.telemetry import METRICS, Metric

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"

HEAD = """# Metrics

`GET /metrics` of any web process, in Prometheus's text format. It shows the counts of all processes
of its host, web and worker alike, so one target a host is enough; counts outlive the processes that
made them, until the whole host is stopped. Where no web process runs,
`OPSLEDGER_WORKER_METRICS_PORT` lets the worker show those of its host. Gauges are looked up when
they are asked for; those of the broker and the database are the same wherever one asks, so take
`max` of them, never `sum`.

No key is needed, and no record, tenant or name that a tenant chose is shown. Metrics marked *token*
have such names: they are shown to a scrape with `Authorization: Bearer $OPSLEDGER_METRICS_TOKEN`
alone. A process keeps at most 100 names of providers and of types of resources apart, and as many
tenants as `OPSLEDGER_METRICS_TENANTS` says; the rest is `other`.

[deploy/prometheus](../deploy/prometheus) has a configuration, recording and alerting rules for all
of this, and a dashboard for Grafana; [runbooks](runbooks.md) say what to do for each alert.

| metric | kind | labels | what it says |
|---|---|---|---|
"""


def render() -> str:
    """The document as the catalogue has it."""
    return HEAD + "\n".join(map(_row, METRICS.values())) + "\n"


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    token = " *token*" if metric.of_tenants else ""
    return f"| `{metric.name}` | {metric.kind}{token} | {labels} | {metric.says} |"


if __name__ == "__main__":
    DOCUMENT.write_text(render())
