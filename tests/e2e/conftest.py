"""What every scenario can ask for."""
import pytest


@pytest.fixture(params=["epoll", "poll", "select"])
def backend(request):
    """Each of libevent's backends in turn."""
    return request.param
