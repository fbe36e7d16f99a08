"""Statistics: what disjoint cells add up to."""

from app.domain.logs import Statistics, StatisticsCell, add_up

CELLS = [
    StatisticsCell("crm_get", "hubspot", "success", 3, 30),
    StatisticsCell("crm_get", "sandbox", "failure", 2, 5),
    StatisticsCell("email_send", "sandbox", "timeout", 1, 1000),
    StatisticsCell("email_send", "sandbox", "pending", 1, 0),
    StatisticsCell("email_send", "sandbox", "retry", 1, 0),
]


def test_nothing_adds_up_to_zeros() -> None:
    """No division by zero in an empty window."""
    assert add_up([], {}) == Statistics()


def test_totals_are_over_all_records_and_failed_counts_timeouts() -> None:
    """Pending and retry are neither successful nor failed."""
    total = add_up(CELLS, {"p50": 10.0})
    assert (total.total_actions, total.successful_actions, total.failed_actions) == (8, 3, 3)
    assert total.percentiles_ms == {"p50": 10.0}


def test_the_average_weighs_every_record_and_has_two_decimals() -> None:
    """1035 ms over 8 records, not the mean of means."""
    assert add_up(CELLS, {}).average_execution_time_ms == 129.38


def test_each_break_down_adds_up_to_the_total() -> None:
    """By type, provider and status."""
    total = add_up(CELLS, {})
    assert total.actions_by_type == {"crm_get": 5, "email_send": 3}
    assert total.actions_by_provider == {"hubspot": 3, "sandbox": 5}
    assert total.actions_by_status == {
        "success": 3,
        "failure": 2,
        "timeout": 1,
        "pending": 1,
        "retry": 1,
    }
