"""`make chaos`: the whole product under load while everything it stands on dies, then a count.

Invariant it tries: what a client was told is accepted is in Postgres exactly once.
"""
