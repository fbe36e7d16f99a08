"""The key by which a run of the tests encrypts credentials: no other run has it."""

from app.vault import new_key

CREDENTIAL_KEY = new_key()
