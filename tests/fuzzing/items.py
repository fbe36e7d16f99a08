"""What an ingest answer has to say of bad items: each is under `rejected`, and each item counted.

The schema of items is that of the OpenAPI document; the service may refuse more than it says.
"""

from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator

INGEST = ("/api/v1/ingest/actions", "/api/v1/ingest/audits")


def faults(document: dict[str, Any], path: str, items: Any, answer: dict[str, Any]) -> list[str]:
    """What is wrong with the answer to a request that was accepted.

    Args:
        document: the OpenAPI document.
        path: of the operation.
        items: the body that was sent, parsed.
        answer: the body of the 202, parsed.
    """
    return list(_faults(document, path, items, answer))


def _faults(
    document: dict[str, Any], path: str, items: Any, answer: dict[str, Any]
) -> Iterator[str]:
    body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    if not isinstance(items, list) or not body["minItems"] <= len(items) <= body["maxItems"]:
        yield "a body was accepted that is no array of as many items as are allowed"
        return
    judge = Draft202012Validator({**body["items"], "components": document["components"]})
    rejected = {one["index"] for one in answer["rejected"]}
    for index, item in enumerate(items):
        wrong = next(judge.iter_errors(item), None)
        if wrong is not None and index not in rejected:
            yield f"item {index} is not under rejected: {wrong.message[:300]}"
    if not rejected <= set(range(len(items))):
        yield f"rejected names items that were not sent: {sorted(rejected)}"
    told = answer["accepted"] + answer["duplicates"] + len(answer["rejected"])
    if told != len(items) or len(answer["ids"]) != answer["accepted"]:
        yield f"of {len(items)} items {told} are accounted for, with {len(answer['ids'])} ids"
