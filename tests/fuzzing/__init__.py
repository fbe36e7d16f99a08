"""Schemathesis against the running service: every operation, with and without a valid key.

What is asked follows from the service's own OpenAPI document, so a new route is covered by being
there. Every check of schemathesis is made but one; schemathesis.toml beside this tells them what a
schema cannot say.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from app.config import load_settings
from app.factory import close_app, create_app
from app.store.session import Database
from app.vault import new_key
from tests.fuzzing.known import KNOWN
from tests.support.household import furnish
from tests.support.product import Product
from tests.support.world import World

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# Without these, what needs one is refused by all requests alike, and nothing of it is tried.
SECRETS = {
    **{
        f"OPSLEDGER_{name}_KEY": "a key of the fuzzing service alone"
        for name in ("EXTERNAL_ID", "SESSION", "REDACTION")
    },
    "OPSLEDGER_CREDENTIAL_KEYS": new_key(),
}
FOR_OPERATOR = "^/api/v1/admin/"


@dataclass(frozen=True, slots=True)
class Round:
    """A run of schemathesis.

    Args:
        name: what it tries.
        secret: the key that is sent, empty for none.
        known: what names something of the key's tenant in a path.
        options: which operations.
    """

    name: str
    secret: str
    known: Mapping[str, str]
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """What a round found.

    Args:
        cases: how many requests were made up and sent.
        said: schemathesis's own words.
    """

    name: str
    cases: int
    passed: bool
    said: str


def rounds(env: Mapping[str, str]) -> list[Round]:
    """A tenant's key on what is for tenants, the operator's on what is for it, and no good key.

    Args:
        env: names the servers; the keys are made there.
    """
    app = create_app(load_settings(env))
    maintenance = Database.connect(env["MAINTENANCE_DATABASE_URL"])
    world = World(app, maintenance)
    house = furnish(world)
    known, tenant, operator = house.path_values, house.who.secret, house.operator.secret
    close_app(app, grace_s=0)
    maintenance.close()
    return [
        Round("a tenant's key", tenant, known, ("--exclude-path-regex", FOR_OPERATOR)),
        Round("the operator's key", operator, known, ("--include-path-regex", FOR_OPERATOR)),
        Round("no key", "", known),
        Round("an unknown key", "ops_live_unknown", known),
    ]


def fuzz(product: Product, one: Round, folder: Path, options: Iterable[str]) -> Result:
    """Run a round.

    Args:
        folder: where the report goes.
        options: further ones of schemathesis.
    """
    report = folder / "report.json"
    report.unlink(missing_ok=True)
    argv = [
        *(str(Path(sys.executable).with_name("schemathesis")), "--config-file"),
        *(str(HERE / "schemathesis.toml"), "run"),
        f"http://127.0.0.1:{product.port}/openapi.json",
        *("--checks", "all", "--continue-on-failure", "--no-color"),
        *("--report-json-path", str(report), *one.options, *options),
    ]
    if one.secret:
        argv += ["--header", f"X-API-Key:{one.secret}"]
    env = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": f"{__name__}.hooks",
        "PYTHONPATH": str(ROOT),
        KNOWN: json.dumps(dict(one.known)),
    }
    ran = subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, check=False)
    cases = 0
    if report.is_file():
        cases = int(json.loads(report.read_text())["test_cases"]["generated"])
    return Result(one.name, cases, ran.returncode == 0, ran.stdout + ran.stderr)
