"""A streaming replica of an embedded Postgres, as its own backup tool makes it."""

import shutil
import subprocess
from pathlib import Path

from sqlalchemy import make_url

from app.dev import EmbeddedPostgres
from app.dev.binaries import find_postgres
from app.dev.cluster import give
from app.dev.identity import server_identity


def make_replica(primary: EmbeddedPostgres, folder: Path) -> EmbeddedPostgres:
    """A server, not started yet, that follows a running one and knows its passwords."""
    folder.mkdir(parents=True)
    cluster = folder / "cluster"
    url = make_url(primary.superuser_url).set(drivername="postgresql", database=None)
    # --write-recovery-conf makes it a standby that streams from where it was copied.
    backup = [str(find_postgres() / "pg_basebackup"), f"--pgdata={cluster}"]
    backup += ["--write-recovery-conf", "--checkpoint=fast", "--no-sync"]
    backup.append(f"--dbname={url.render_as_string(hide_password=False)}")
    subprocess.run(backup, check=True, capture_output=True)
    shutil.copy(primary.data_dir / "passwords.json", folder)
    user = server_identity(primary.data_dir / "cluster", [])
    for path in (cluster, *cluster.rglob("*")):
        give(path, user)
    return EmbeddedPostgres(folder)
