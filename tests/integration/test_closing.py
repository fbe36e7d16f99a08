"""An app that is closed leaves nothing behind: no thread and no connection to Postgres."""

import threading

import psutil
from sqlalchemy import make_url, text

from app.api.stream import TAILS
from app.config import Settings
from app.store.session import Database
from tests.support.world import eventually, opened

THREADS = {"opsledger-limits", "opsledger-news", "opsledger-shipper"}


def test_a_closed_app_leaves_no_thread_and_no_connection(
    settings: Settings, maintenance: Database
) -> None:
    """Though it was asked, administered, captured something and was listened to."""
    port = make_url(settings.database_url).port

    def connections() -> int:
        found = psutil.Process().net_connections("tcp")
        return sum(one.raddr.port == port for one in found if one.raddr)

    with maintenance.unrestricted_unsafe() as session:
        session.execute(text("SELECT 1"))  # so that it has its connection
    others, before = set(threading.enumerate()), connections()
    with opened(settings, maintenance) as world:
        who = world.settle()
        assert who.get("/api/v1/logs/actions").status_code == 200
        assert world.operator().get("/api/v1/admin/tenants").status_code == 200
        world.log(who.tenant_id)
        world.app.extensions[TAILS].news.mark(who.tenant_id)
        ours = set(threading.enumerate()) - others
        assert {thread.name for thread in ours} >= THREADS
        assert connections() >= before + 2
    eventually(lambda: not any(thread.is_alive() for thread in ours), within_s=5)
    eventually(lambda: connections() <= before, within_s=5)
