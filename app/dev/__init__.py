"""The development stack: everything the product needs on one machine, from a bare clone, by one
command (`make run`). Invariant: what it starts ends with it, whatever ends it; data stay.
"""

from .broker import EmbeddedBroker
from .postgres import EmbeddedPostgres

__all__ = ["EmbeddedBroker", "EmbeddedPostgres"]
