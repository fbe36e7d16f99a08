"""What a scrape of /metrics shows."""

from collections.abc import Iterator
from typing import Any

from prometheus_client.parser import text_string_to_metric_families


class Scrape:
    """The samples of one exposition."""

    def __init__(self, body: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(body)}
        self._samples = [one for family in self.families.values() for one in family.samples]

    def values(self, name: str, **labels: str) -> Iterator[float]:
        """The values of a metric's samples that have these labels."""
        for sample in self._samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                yield sample.value

    def sum(self, name: str, **labels: str) -> float:
        """Their sum."""
        return sum(self.values(name, **labels))

    def labels(self, label: str) -> set[str]:
        """All values of a label."""
        return {sample.labels[label] for sample in self._samples if label in sample.labels}


def scrape(client: Any, token: str | None = None) -> Scrape:
    """Scrape an app, with the token or without."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    response = client.get("/metrics", headers=headers)
    assert response.status_code == 200, response.get_data(as_text=True)[:1000]
    assert response.content_type == "text/plain; version=0.0.4; charset=utf-8"
    return Scrape(response.get_data(as_text=True))
