"""Five destinations that fail, each in its own way, while workers are killed; a short run of
`make chaos-forward`.
"""

from benchmarks.forwarding_chaos import try_it

SINKS = ("webhook", "elasticsearch", "datadog", "otlp", "syslog")


def test_every_destination_ends_with_every_record_whatever_is_killed() -> None:
    """At least once; and no cursor passes a record that its destination does not have."""
    tried = try_it(600, trouble_s=6.0, kill_every_s=3.0, end_s=90.0)
    assert tried.kills >= 1
    assert tried.passed == 0
    assert tried.wrong == []
    lost = {sink: (one.missing, one.dead) for sink, one in tried.outcomes.items()}
    assert lost == dict.fromkeys(SINKS, (0, 0))
