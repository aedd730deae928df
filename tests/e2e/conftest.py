"""What every scenario can ask for."""
import pytest

import harness


@pytest.fixture(params=["epoll", "poll", "select", "epoll-4"])
def backend(request, monkeypatch):
    """Each of libevent's backends in turn, and four workers on the first."""
    name, _, workers = request.param.partition("-")
    if workers:
        monkeypatch.setitem(harness.DEFAULTS, "workers", int(workers))
    return name


@pytest.fixture
def manager(tmp_path):
    manager = harness.Manager(tmp_path)
    yield manager
    manager.sock.close()
