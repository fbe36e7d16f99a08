"""rsyslog, from its Debian package, as a receiver over TLS that asks for a client's certificate."""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.dev import process
from app.dev.server import free_port

PLUGINS = "/usr/lib/*-linux-*/rsyslog"
READY_S = 10.0
TOLD = "%pri% %timestamp:::date-rfc3339% %hostname% %app-name% %msgid% %structured-data%|%msg%\\n"


def needs_rsyslog(module: str) -> str:
    """The program's path; skips the test where it or a module of it is missing."""
    program = shutil.which("rsyslogd") or shutil.which("rsyslogd", path="/usr/sbin")
    if program is None or not list(Path("/usr/lib").glob(f"*-linux-*/rsyslog/{module}.so")):
        pytest.skip(f"rsyslog with {module} is not installed (apt install rsyslog rsyslog-gnutls)")
    return program


@dataclass(frozen=True)
class Certificates:
    """An authority, a server's certificate of 127.0.0.1, and a client's."""

    folder: Path

    def read(self, name: str) -> str:
        """A file of it, as text."""
        return (self.folder / name).read_text()


def make_certificates(folder: Path, *, days: int = 2) -> Certificates:
    """By openssl: ca.pem, server.pem, server.key, client.pem, client.key."""
    folder.mkdir(parents=True, exist_ok=True)

    def run(*argv: str) -> None:
        subprocess.run(["openssl", *argv], cwd=folder, check=True, capture_output=True)

    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    run(
        *("req", "-x509", *curve, "-days", str(max(days, 2)), "-subj", "/CN=ca"),
        *("-keyout", "ca.key", "-out", "ca.pem"),
    )
    for name, usage in (("server", "serverAuth"), ("client", "clientAuth")):
        (folder / "ext").write_text(f"subjectAltName=IP:127.0.0.1\nextendedKeyUsage={usage}\n")
        run("req", *curve, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", "csr")
        run(
            *("x509", "-req", "-in", "csr", "-CA", "ca.pem", "-CAkey", "ca.key"),
            *("-CAcreateserial", "-days", str(days), "-extfile", "ext", "-out", f"{name}.pem"),
        )
    return Certificates(folder)


@contextmanager
def running(folder: Path, config: str, port: int) -> Iterator[None]:
    """rsyslogd with a configuration, once its port answers."""
    program = needs_rsyslog("imtcp")
    path = folder / "rsyslog.conf"
    path.write_text(config)
    argv = [program, "-n", "-f", str(path), "-i", str(folder / "rsyslog.pid")]
    child = process.spawn(argv, log_path=folder / "rsyslog.log")
    try:
        deadline = time.monotonic() + READY_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert child.poll() is None, (folder / "rsyslog.log").read_text()
                assert time.monotonic() < deadline, (folder / "rsyslog.log").read_text()
                time.sleep(0.05)
        yield
    finally:
        process.stop(child, [(signal.SIGTERM, 5.0)])


@contextmanager
def tls_receiver(folder: Path, certificates: Certificates) -> Iterator[tuple[int, Path]]:
    """A port that takes TLS with a client's certificate, and the file of what came."""
    needs_rsyslog("lmnsd_gtls")
    port, out, where = free_port(), folder / "received.log", certificates.folder
    config = f"""
global(workDirectory="{folder}" maxMessageSize="128k" defaultNetstreamDriver="gtls"
    defaultNetstreamDriverCAFile="{where}/ca.pem"
    defaultNetstreamDriverCertFile="{where}/server.pem"
    defaultNetstreamDriverKeyFile="{where}/server.key")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1"
    streamDriver.authMode="x509/certvalid")
template(name="told" type="string"
    string="{TOLD}")
ruleset(name="keep") {{ action(type="omfile" file="{out}" template="told") }}
input(type="imtcp" port="{port}" address="127.0.0.1" ruleset="keep")
"""
    with running(folder, config, port):
        yield port, out
