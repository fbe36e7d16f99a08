"""Checks of `make check` that are not a tool's own command: migrations and links."""
