"""What one log_action costs its caller: cleaning, encoding and the append to the spool; and of that
the redaction, without a secret in the payload, with two, and under a tenant's policy.
"""

import tempfile
import time
from pathlib import Path

from uuid_utils.compat import uuid4

from app.capture import Recorder
from app.domain.cleaning import Alterations, clean_text
from app.domain.policy import NO_POLICY, Mode, Policy, PolicyRule
from app.spool import Spool

from .support import payload, percentile

POLICY = Policy(
    [
        PolicyRule(Mode.HASH, key="email"),
        PolicyRule(Mode.DROP, path="request_payload.properties.field_1"),
    ],
    b"k" * 32,
)


def run(smoke: bool) -> dict[str, float]:
    """Microseconds a call, for a request of about 1 KB."""
    calls = 200 if smoke else 20_000
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(Path(folder), bytes_max=2**30, reserve_bytes=0, segment_bytes_max=8 * 2**20)
        recorder = Recorder(spool, payload_bytes_max=65536, notify=lambda: None, learn=lambda: None)
        tenant_id, request, times = uuid4(), payload(1000), []
        for _ in range(calls):
            started = time.perf_counter()
            recorder.record_action(
                {
                    "tenant_id": tenant_id,
                    "action_type": "crm_create",
                    "provider_name": "hubspot",
                    "request_payload": request,
                    "response_data": {"id": "12345"},
                    "status": "success",
                    "execution_time_ms": 12,
                }
            )
            times.append((time.perf_counter() - started) * 1e6)
        spool.close()
    return {
        "capture.p50_us": percentile(times, 0.5),
        "capture.p99_us": percentile(times, 0.99),
        "capture.redaction_p50_us": percentile(_redactions(request, calls), 0.5),
        "capture.redaction_of_secrets_p50_us": percentile(
            _redactions({**request, "password": "hunter2", "note": "Bearer a1B2c3D4"}, calls), 0.5
        ),
        "capture.redaction_by_policy_p50_us": percentile(_redactions(request, calls, POLICY), 0.5),
    }


def _redactions(request: dict[str, object], calls: int, policy: Policy = NO_POLICY) -> list[float]:
    """Microseconds of each cleaning of a payload, its encoding included."""
    times = []
    for _ in range(calls):
        started = time.perf_counter()
        clean_text(
            request,
            name="request_payload",
            bytes_max=65536,
            alterations=Alterations(),
            policy=policy,
        )
        times.append((time.perf_counter() - started) * 1e6)
    return times
