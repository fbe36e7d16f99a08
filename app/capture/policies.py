"""The tenants' redaction policies, as this process knows them: never a query in a request.

They are learned in the background and kept in a file beside the spool, so that a process that
starts while the database is away still knows them. Where nothing is known, what they could conceal
is withheld.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from uuid import UUID

from ..domain.policy import NO_POLICY, WITHHOLD, Policy, read_rules, tenant_hash_key
from ..errors import InvalidInput
from ..telemetry import get_logger

FIRST_ANSWER_S = 0.25  # what the first record of a process waits for at most, and once
LOOK_INTERVAL_S = 0.002

log = get_logger(__name__)


class Policies:
    """The policies of all tenants.

    Args:
        path: the file that keeps them on this host.
        key: the platform's secret behind hashes. A platform that has it has policies: its processes
            withhold what policies could conceal as long as they do not know them.
    """

    def __init__(self, path: Path, key: str) -> None:
        self._path = path
        self._key = key
        self._texts: dict[UUID, str] | None = None
        self._policies: dict[UUID, Policy] | None = None
        self._ask_until: float | None = None
        self.answered = not key  # whether the database was asked, with whatever result
        self.ask: Callable[[], None] = lambda: None  # has the learning begin, in the background
        self._load()

    def of(self, tenant_id: object) -> Policy:
        """The policy of a tenant, which may be none."""
        if not self.answered:
            self._await_answer()
        policies = self._policies
        if policies is None:
            return WITHHOLD if self._key else NO_POLICY
        if not policies:
            return NO_POLICY
        known_as = tenant_id if type(tenant_id) is UUID else None
        try:
            return policies.get(known_as or UUID(str(tenant_id)), NO_POLICY)
        except ValueError:
            return NO_POLICY  # no tenant at all: the record will be refused

    def learn(self, texts: Mapping[UUID, str]) -> None:
        """Take over what the database has: the rules of each tenant that has any, as JSON."""
        if texts != self._texts:
            self._take(dict(texts))
            self._save()

    def _take(self, texts: dict[UUID, str]) -> None:
        before, known = self._texts or {}, self._policies or {}
        same = {each for each, text in texts.items() if before.get(each) == text}
        self._policies = {
            tenant_id: known[tenant_id] if tenant_id in same else self._read(tenant_id, text)
            for tenant_id, text in texts.items()
        }
        self._texts = texts

    def _read(self, tenant_id: UUID, text: str) -> Policy:
        try:
            rules = read_rules(json.loads(text))
        except (ValueError, InvalidInput):  # written past the commands
            log.exception("policy not understood, values withheld", tenant=str(tenant_id))
            return WITHHOLD
        return Policy(rules, tenant_hash_key(self._key, tenant_id))

    def _await_answer(self) -> None:
        """Give the first learning a moment, once in a process; whoever comes later waits less."""
        if self._ask_until is None:
            self._ask_until = time.monotonic() + FIRST_ANSWER_S
        self.ask()
        while not self.answered and time.monotonic() < self._ask_until:
            time.sleep(LOOK_INTERVAL_S)  # no lock: a fork would leave it held
        self.answered = True

    def _load(self) -> None:
        try:
            texts = json.loads(self._path.read_bytes())
            self._take({UUID(tenant_id): str(text) for tenant_id, text in texts.items()})
        except FileNotFoundError:
            return
        except (OSError, ValueError, AttributeError):
            log.exception("policies of this host not read", path=str(self._path))

    def _save(self) -> None:
        """Keep them for the next process; a reader finds the file of before or this one, whole."""
        texts = {str(tenant_id): text for tenant_id, text in (self._texts or {}).items()}
        draft = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(texts))
            draft.replace(self._path)
        except OSError:
            log.exception("policies not kept on this host", path=str(self._path))
