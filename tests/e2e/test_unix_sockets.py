# SPDX-License-Identifier: MIT
"""Unix sockets: who may connect, which process gets a path, and different spellings of a path."""
import os
import socket
import stat

import pytest

from harness import Daemon, config, config_in, connect, echo, run_selectd, service


def access(path):
    found = path.stat()
    return stat.S_IMODE(found.st_mode), found.st_gid


def assert_served(path):
    with connect(f"unix:{path}") as client:
        echo(client)


def some_group():
    """A group that this user may give to a file."""
    return 12345 if os.geteuid() == 0 else os.getegid()


def mistakes(tmp_path, text):
    status, _, err = run_selectd("--check", "-c", config_in(tmp_path, text))
    assert status == 78
    return err.splitlines()


def test_two_starts_on_a_stale_file(backend, tmp_path):
    """One daemon gets the path and is reached there. The other one logs why it does not."""
    path = tmp_path / "echo.sock"
    text = config(service(listen=f"unix:{path}"), backend=backend)
    for _ in range(5):
        with socket.socket(socket.AF_UNIX) as crashed:
            crashed.bind(str(path))
        with Daemon(text, wait=None) as one, Daemon(text, wait=None) as two:
            while not (done := [d for d in (one, two) if d.process.poll() is not None]):
                assert len(one.lines("^ready") + two.lines("^ready")) < 2, "both listen"
            loser, = done
            winner = two if loser is one else one
            assert loser.wait() == 71
            assert loser.log == [f"echo: cannot listen on unix:{path}: Address already in use"]
            winner.wait_for("^ready")
            assert_served(path)
            assert winner.stop() == 0
        assert not list(tmp_path.glob("*.lock"))
        assert not path.exists()


@pytest.mark.parametrize("spelling", ["{d}//echo.sock", "{d}/./echo.sock", "/.//{d}/././//echo.sock"])
def test_spellings_of_one_path(backend, tmp_path, spelling):
    """A reload that only spells the path differently keeps the socket."""
    texts = [config(service(listen=f"unix:{path}"), backend=backend)
             for path in (spelling.format(d=tmp_path), f"{tmp_path}/echo.sock")]
    with Daemon(texts[0]) as daemon:
        for text in (texts[0], texts[1], texts[0]):
            daemon.reload(text)
            assert_served(tmp_path / "echo.sock")
        assert len(daemon.lines("listening on")) == 1


def test_two_paths_to_one_directory(backend, tmp_path):
    """A symbolic link leads to the directory, as /var/run does to /run."""
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to("run")
    path = tmp_path / "run" / "echo.sock"
    texts = [config(service(listen=f"unix:{tmp_path}/{name}/echo.sock"), backend=backend)
             for name in ("run", "link")]
    with Daemon(texts[0]) as daemon:
        for text in (texts[1], texts[1], texts[0]):
            daemon.reload(text)
            assert_served(path)
        assert len(daemon.lines("listening on")) == 1
        assert daemon.stop() == 0
    assert not path.exists()


def test_one_path_twice(tmp_path):
    line, = mistakes(tmp_path, config(service(listen=["unix:/run/a", "unix:/run//a"])))
    assert '"unix:/run//a" is listened on already, by service echo' in line


def test_access(backend, tmp_path):
    path, other = tmp_path / "echo.sock", tmp_path / "other.sock"
    group = some_group()

    def text(**keys):
        return config(service(listen=["127.0.0.1:0", f"unix:{path}"], **keys),
                      service("other", listen=f"unix:{other}"), backend=backend)

    with Daemon(text(socket_mode="0660", socket_group=group)) as daemon:
        assert access(path) == (0o660, group)
        assert access(other)[0] == 0o666
        daemon.reload(text(socket_mode="600", socket_group=str(group)))
        assert access(path) == (0o600, group)
        path.chmod(0o640)  # changed by hand
        daemon.reload(text(socket_mode="600", socket_group=group))
        assert access(path) == (0o640, group)
        daemon.reload(text())
        assert access(path)[0] == 0o666
        assert_served(path)
        assert len(daemon.lines("listening on")) == 3


def test_access_that_the_system_denies(tmp_path):
    """The reload changes all of the access rights or none."""
    wrapper = ["setpriv", "--bounding-set", "-chown"] if os.geteuid() == 0 else []
    first, second = tmp_path / "first.sock", tmp_path / "second.sock"

    def text(group=None, **keys):
        other = {} if group is None else {"socket_group": group}
        return config(service("first", listen=f"unix:{first}", **keys),
                      service("second", listen=f"unix:{second}", **other))

    with Daemon(text(), wrapper=wrapper) as daemon:
        daemon.reload(text(group=12345, socket_mode="0600"),
                      rf"second: cannot set the mode and group of unix:{second}: "
                      "Operation not permitted; keeping the old configuration$")
        assert access(first)[0] == 0o666
        assert_served(first)


@pytest.mark.parametrize("key, shown", [
    ('socket_mode = "0888"', r'"0888"'),
    ('socket_mode = "66"', r'"66"'),
    ('socket_mode = "1777"', r'"1777"'),
    ('socket_mode = "rw"', r'"rw"'),
    ("socket_mode = 0660", "660"),
])
def test_modes_that_are_none(tmp_path, key, shown):
    line, = mistakes(tmp_path, 'services = { echo = { listen = "unix:/a"; %s; }; };\n' % key)
    assert line.endswith(f'socket_mode: {shown} is not legal, expected an octal mode in quotes, from '
                         '"0000" to "0777"')


@pytest.mark.parametrize("group", ["no-such-group", "", -1, 4294967295])
def test_groups_that_are_none(tmp_path, group):
    line, = mistakes(tmp_path, config(service(listen="unix:/a", socket_group=group)))
    assert line.endswith("is not legal, expected the name or the number of a group of this system")


def test_access_without_a_unix_socket(tmp_path):
    lines = mistakes(tmp_path, config(service(socket_mode="0600", socket_group="root")))
    assert [line.partition("echo.")[2] for line in lines] == [
        "socket_mode: is for unix sockets, and listen has none",
        "socket_group: is for unix sockets, and listen has none"]
