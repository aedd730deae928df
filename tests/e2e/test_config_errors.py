# SPDX-License-Identifier: MIT
"""--check, a start and a reload report every mistake in the same words, and never crash."""
import os
import pathlib
import random
import re
import signal
import socket

import pytest

from harness import Daemon, config, config_in, echo, relay, run_selectd, service

CONF = pathlib.Path(__file__).parents[2] / "conf"


def refused(status, out, err):
    assert status == 78, err
    assert out == ""
    return err.splitlines()


def all_three_ways(text, extra=None):
    """The mistakes in a file, which must be the same in each of the three ways to read it."""
    with Daemon(config()) as daemon:
        for name, content in (extra or {}).items():
            pathlib.Path(daemon.directory.name, name).write_text(content)
        address, before = daemon.addresses(), len(daemon.log)
        daemon.reload(text, "; keeping the old configuration$")
        reloaded = daemon.log[before:]
        with daemon.connect() as client:
            echo(client)
        assert daemon.addresses() == address
        checked = refused(*run_selectd("--check", "-c", daemon.path))
        started = refused(*run_selectd("--config", daemon.path))
        assert checked == started
        assert reloaded[:len(checked)] == checked
        assert reloaded[len(checked)].startswith(f"cannot reload {daemon.path}: ")
        directory = daemon.directory.name + "/"
    assert checked
    assert all(re.match(r"/\S+:\d+: \S", line) and line.isprintable() for line in checked), checked
    return [line.removeprefix(directory) for line in checked]


def echo_with(**pairs):
    return config(service(**pairs))


def accept_from(ranges):
    return echo_with(proxy_protocol="accept", proxy_from=ranges)


# A file, the line of its only mistake, and words of the report: the value and the legal values.
MISTAKES = {
    "wrong type": (config(log_payload="yes"), 1, 'log_payload: "yes" .* true or false'),
    "number for a word": (config(backend=3), 1, "backend: 3 .*epoll"),
    "not one of the words": (config(log_level="loud"), 1, 'log_level: "loud" .*"debug"'),
    "bool for a duration": (echo_with(send_delay=True), 4, r"services\.echo\.send_delay: true "),
    "bad duration": (echo_with(idle_timeout="soon"), 4, 'idle_timeout: "soon" .*365 days'),
    "duration out of range": (config(exit_on_idle="2y"), 1, 'exit_on_idle: "2y" .*365 days'),
    "negative": (config(max_connections=-1), 1, "max_connections: -1 .* 0 to 1000000"),
    "negative duration": (config(drain_timeout=-0.5), 1, r"drain_timeout: -0\.5 "),
    "more than 64 bits": (config(max_connections=10 ** 30), 1, "max_connections: "),
    "more than 32 bits": (config(max_connections=2 ** 32 + 1), 1, "max_connections: 4294967297 "),
    "zero": (echo_with(backlog=0), 4, "backlog: 0 .* 1 to 65535"),
    "size out of range": (echo_with(message_size="65K"), 4, 'message_size: "65K" .*64K'),
    "too many workers": (config(workers=65), 1, 'workers: 65 .* 1 to 64, or "auto"'),
    "no worker": (config(workers=0), 1, "workers: 0 "),
    "workers by a word": (config(workers="all"), 1, 'workers: "all" .*"auto"'),
    "no such version": (config(relay("127.0.0.1:1", send_proxy=3)), 6, "send_proxy: 3 .* 1 or 2"),
    "version by a word": (config(relay("127.0.0.1:1", send_proxy="v2")), 6, 'send_proxy: "v2" '),
    "quota of nothing": (echo_with(mode="hub", quota=0), 5, 'quota: 0 .* 1 to "1G"'),
    "quota out of range": (echo_with(mode="hub", quota="2G"), 5, 'quota: "2G" '),
    "proxy_protocol by a bool": (echo_with(proxy_protocol=True), 4,
                                 'proxy_protocol: true .*"off" or "accept"'),
    "proxy_protocol by a word": (echo_with(proxy_protocol="on"), 4, 'proxy_protocol: "on" '),
    "no proxy_from": (echo_with(proxy_protocol="accept"), 2,
                      r"services\.echo: proxy_from is missing, expected .*10\.0\.0\.0/8"),
    "proxy_from alone": (echo_with(proxy_from="127.0.0.1"), 4,
                         'proxy_from: is for proxy_protocol = "accept" only'),
    "proxy_from, but off": (echo_with(proxy_from="127.0.0.1", proxy_protocol="off"), 4,
                            'proxy_from: is for proxy_protocol = "accept" only'),
    "bits behind a prefix": (accept_from("10.0.0.1/8"), 5, 'proxy_from: "10.0.0.1/8" .* no bits set'),
    "prefix out of range": (accept_from("10.0.0.0/33"), 5, 'proxy_from: "10.0.0.0/33" '),
    "range by a name": (accept_from("localhost"), 5, 'proxy_from: "localhost" '),
    "range by a number": (accept_from(10), 5, "proxy_from: 10 "),
    "range with a path": (accept_from("unix:/run/proxy"), 5, 'proxy_from: "unix:/run/proxy" '),
    "no range": (accept_from([]), 5, "proxy_from: a list of 0 "),
    "bad range in a list": (accept_from(["10.0.0.0/8", "fd00::/129"]), 5, 'proxy_from: "fd00::/129" '),
    "send_proxy of no relay": (echo_with(send_proxy=1), 4, 'send_proxy: is for mode = "relay" only'),
    "connect_wait of no relay": (echo_with(mode="hub", connect_wait=1), 5,
                                 'connect_wait: is for mode = "relay" only'),
    "connect_timeout of no relay": (echo_with(connect_timeout=1), 4,
                                    'connect_timeout: is for mode = "relay" only'),
    "quota of no hub": (config(relay("127.0.0.1:1", quota=1)), 6, 'quota: is for mode = "hub" only'),
    "no such mode": (echo_with(mode="ohce"), 4, 'mode: "ohce" .*"echo"'),
    "no port": (echo_with(listen="127.0.0.1"), 3, r'services\.echo\.listen: "127\.0\.0\.1" .*PORT'),
    "a name": (echo_with(listen="localhost:80"), 3, 'listen: "localhost:80" '),
    "port out of range": (echo_with(listen="127.0.0.1:65536"), 3, 'listen: "127.0.0.1:65536" '),
    "relative path": (echo_with(listen="unix:echo.sock"), 3, 'listen: "unix:echo.sock" '),
    "long path": (echo_with(listen="unix:/" + "x" * 200), 3, 'listen: "unix:/xxx'),
    "bad one in a list": (echo_with(listen=["127.0.0.1:0", "::1:0"]), 3, 'listen: "::1:0" '),
    "empty list": (echo_with(listen=[]), 3, "listen: "),
    "unprintable": (echo_with(listen="\x1b[2J\x07"), 3, r'listen: "\\x1b\[2J\\x07" '),
    "twice the same address": (echo_with(listen=["127.0.0.1:7", "127.0.0.1:7"]), 3,
                               '"127.0.0.1:7" .*already'),
    "unknown key": (config(max_conections=1), 1, 'max_conections: unknown .*"max_connections"'),
    "unknown in a service": (echo_with(sendDelay=1), 4, 'sendDelay: unknown .*"send_delay"'),
    "key repeated": (echo_with(backlog=1) + "services = { };\n", 7, "duplicate"),
    "key repeated in a service": (config("  e = { listen = \"127.0.0.1:0\";\nbacklog = 1;\n"
                                         "backlog = 2; };\n"), 4, "duplicate"),
    "no listen": (echo_with(listen=None, backlog=1), 2, r"services\.echo: listen is missing"),
    "service is no group": ("services = {\n  echo = 7;\n};\n", 2, r"services\.echo: 7 "),
    "no service": ("services = { };\n", 1, "services: "),
    "no services": ("# nothing\n", 1, "services is missing"),
    "empty": ("", 1, "services is missing"),
    "syntax": ("log_level = ;\n", 1, "syntax"),
    "unclosed": ("services = {\n  echo = {\n", None, "syntax"),
}


@pytest.mark.parametrize("text, line, what", MISTAKES.values(), ids=MISTAKES)
def test_one_mistake(text, line, what):
    said, = all_three_ways(text)
    assert re.match(rf"selectd\.conf:{line or '[0-9]+'}: .*{what}", said), said


# Relays "a", "b", …: their "listen" and "upstream", and which of them lead back to themselves.
CIRCLES = {
    "two": ([("127.0.0.1:7001", "127.0.0.1:7002"), ("127.0.0.1:7002", "127.0.0.1:7001")],
            ['a.upstream: "127.0.0.1:7002" leads back here, by service b',
             'b.upstream: "127.0.0.1:7001" leads back here, by service a']),
    "three": ([("127.0.0.1:7001", "127.0.0.1:7002"), ("127.0.0.1:7002", "127.0.0.1:7003"),
               ("127.0.0.1:7003", "127.0.0.1:7001")],
              ['a.upstream: "127.0.0.1:7002" leads back here, by service b',
               'b.upstream: "127.0.0.1:7003" leads back here, by service c',
               'c.upstream: "127.0.0.1:7001" leads back here, by service a']),
    "unix": ([("unix:/nowhere/a", "unix:/nowhere/b"), ("unix:/nowhere/b", "unix:/nowhere/a")],
             ['a.upstream: "unix:/nowhere/b" leads back here, by service b',
              'b.upstream: "unix:/nowhere/a" leads back here, by service a']),
    "unix, itself": ([("unix:/nowhere/a", "unix:/nowhere/a")],
                     ['a.upstream: "unix:/nowhere/a" is where the service itself listens']),
    "any address": ([("*:7001", "127.0.0.9:7002"), ("0.0.0.0:7002", "[::1]:7001")],
                    ['a.upstream: "127.0.0.9:7002" leads back here, by service b',
                     'b.upstream: "[::1]:7001" leads back here, by service a']),
    "mapped": ([("*:7001", "[::ffff:127.0.0.9]:7001")],
               ['a.upstream: "[::ffff:127.0.0.9]:7001" is where the service itself listens']),
    "one of a list": ([(["127.0.0.1:7001", "unix:/nowhere/a"], ["127.0.0.1:1", "127.0.0.1:7002"]),
                       ("127.0.0.1:7002", ["localhost:1", "unix:/nowhere/a"])],
                      ['a.upstream: "127.0.0.1:7002" leads back here, by service b',
                       'b.upstream: "unix:/nowhere/a" leads back here, by service a']),
    "led into": ([("127.0.0.1:7001", "127.0.0.1:7002"), ("127.0.0.1:7002", "127.0.0.1:7002")],
                 ['b.upstream: "127.0.0.1:7002" is where the service itself listens']),
}


@pytest.mark.parametrize("relays, mistakes", CIRCLES.values(), ids=CIRCLES)
def test_relays_in_a_circle(relays, mistakes):
    text = config(*(relay(to, name, listen=listen) for name, (listen, to) in zip("abc", relays)))
    lines = {name: 5 * n for n, name in enumerate("abc", 1)}  # one line for each upstream
    assert all_three_ways(text) == [f"selectd.conf:{lines[mistake[0]]}: services.{mistake}"
                                    for mistake in mistakes]


def test_relays_in_no_circle(tmp_path):
    """Relays may meet any number of times, if they end at an echo, a hub or the port of another address."""
    def to(port):
        return f"127.0.0.1:{port}"

    text = config(relay([to(7002), to(7003)], "a", listen=to(7001)),
                  relay(to(7004), "b", listen=to(7002)),
                  relay([to(7004), to(7005)], "c", listen=to(7003)),
                  service("d", to(7004)), service("e", to(7005), mode="hub"),
                  relay("127.0.0.2:7006", "f", listen=to(7006)),
                  relay("127.0.0.1:7007", "g", listen="[::1]:7007"),
                  relay("127.0.0.1:7008", "h", listen="[::]:7008"),  # IPv6 only, unlike "*"
                  relay("[::1]:7009", "i", listen="0.0.0.0:7009"))
    assert run_selectd("-t", "-c", config_in(tmp_path, text)) == (0, "", "")


def test_all_at_once():
    text = config(service("a", listen="nowhere", backlog=-1),
                  service("b", sendelay=1), service("c", listen=None, mode=1),
                  log_level="no", log_payload=1, backend="kqueue", max_connections="many",
                  exit_on_idle=[], drain_timeout="-1s", surprise=1)
    lines = [int(re.match(r"selectd\.conf:(\d+): ", said)[1]) for said in all_three_ways(text)]
    # Each mistake of the top level, those of the services, and the missing listen at its service.
    assert sorted(lines) == [1, 2, 3, 4, 5, 6, 7, 10, 11, 15, 17, 18]


@pytest.mark.parametrize("junk", [
    b"\x7fELF\x02\x01\x01\x00" + bytes(200),
    random.Random(1).randbytes(5000),
    bytes(x for x in random.Random(2).randbytes(5000) if x),
    b"\xff\xfe" + "services".encode("utf-16-le"),
    random.Random(3).randbytes(1 << 20),
    b"x" * (1 << 20),
    b"x = 1;\n" * 150_000,
    b"{" * (1 << 20),
    b"a = (" * 200_000,
    b'"' * (1 << 20),
    b"\n" * (1 << 20) + b"@",
    b"# comment\n" * 500_000,
    b"a" * 100_000 + b" = 1;",
    b"@include",
    b'@include "',
    b"/*",
], ids=lambda junk: f"{junk[:8]!r}-{len(junk)}")
def test_junk(junk):
    assert all_three_ways(junk)


def test_not_a_file(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "socket"))
    for path, why in ((tmp_path / "missing", "No such file"), (tmp_path, "directory"),
                      (fifo, "regular file"), (tmp_path / "socket", ""),
                      ("/dev/zero", "regular file"), (tmp_path / "missing" / "x", "No such file")):
        for args in (["-t", "-c", path], ["-c", path]):
            line, = refused(*run_selectd(*args))
            assert re.fullmatch(rf"{path}:1: .*{why}.*", line), line
    listening.close()


def test_relative_path(tmp_path, monkeypatch):
    config_in(tmp_path, config())
    monkeypatch.chdir(tmp_path)
    assert run_selectd("-t", "-c", "selectd.conf") == (0, "", "")


def test_missing_at_reload():
    with Daemon(config()) as daemon:
        daemon.path.unlink()
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("; keeping the old configuration$")
        assert daemon.lines(rf"^{daemon.path}:1: cannot read the file: No such file")
        with daemon.connect() as client:
            echo(client)


INCLUDES = {
    "missing": ('@include "nope.conf"\n', {}, r"selectd\.conf:1: .*nope\.conf.*No such file"),
    "directory": ('\n@include "/"\n', {}, r'selectd\.conf:2: .*"/".* directory'),
    "itself": ('@include "selectd.conf"\n', {}, r"selectd\.conf:1: .*includes itself"),
    "mistake in it": ('@include "more.conf"\n', {"more.conf": "\n\nbackend = 1;\n"},
                      r"more\.conf:3: backend: 1 "),
    "mistake after it": ('@include "more.conf"\nlog_level = 1;\n', {"more.conf": "\n\n\n"},
                         r"selectd\.conf:2: log_level: 1 "),
    "syntax in it": ('@include "more.conf"\n', {"more.conf": "\nbackend;\n"},
                     r"more\.conf:2: syntax"),
}


@pytest.mark.parametrize("head, files, what", INCLUDES.values(), ids=INCLUDES)
def test_include(head, files, what):
    said, = all_three_ways(head + config(), files)
    assert re.match(what, said), said


@pytest.mark.parametrize("head, mistakes", [
    ('@include "{fifo}\n', [r"selectd\.conf:1: a string that does not end on its line"]),
    ('a = = {{\n}} @include "{fifo}"\n', [r'selectd\.conf:1: syntax error: "a = = {{"']),
], ids=["quote missing", "behind what is struck out"])
def test_no_include_by_the_back_door(head, mistakes, tmp_path):
    """Text that only looks like an include to libconfig's parser is not included. A FIFO would block forever.
    """
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    said = all_three_ways(head.format(fifo=fifo) + config())
    assert len(said) <= 2 and re.match(mistakes[0].replace("{{", "{"), said[0]), said


def test_include_works(tmp_path):
    (tmp_path / "echo.conf").write_text(service("included"))
    text = 'services = {\n  @include "echo.conf"\n};\n'
    assert run_selectd("-t", "-c", config_in(tmp_path, text)) == (0, "", "")


@pytest.mark.parametrize("name", ["selectd.conf", "article.conf"])
def test_installed_files_are_right(name):
    assert run_selectd("--check", "--config", CONF / name) == (0, "", "")


@pytest.mark.parametrize("args", [["--nope"], ["-x"], ["extra"], ["-c"], ["--check", "-c"], ["-t", "x"]])
def test_bad_command_line(args):
    status, out, err = run_selectd(*args)
    assert status == 64
    assert out == "" and "--help" in err


@pytest.mark.parametrize("args", [["--version"], ["-V"], ["--help"], ["-h"]])
def test_information(args):
    status, out, err = run_selectd(*args)
    assert (status, err) == (0, "")
    assert re.match(r"selectd \d|Usage: selectd ", out)


def assert_system_refuses(text, what):
    """The configuration is fine, but the system refuses it: status 71."""
    with Daemon(text, wait=None) as daemon:
        assert daemon.wait() == 71
        assert daemon.lines(what)
        assert run_selectd("-t", "-c", daemon.path) == (0, "", "")


def test_port_in_use(backend):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert_system_refuses(config(service(listen=["127.0.0.1:0", address]), backend=backend),
                              f"^echo: .*{address}: Address already in use")


@pytest.mark.parametrize("listen, why", [
    ("192.0.2.1:0", "Cannot assign requested address"),  # an address for documentation
    ("unix:/nonexistent/echo.sock", "No such file or directory"),
])
def test_address_not_to_be_had(listen, why):
    assert_system_refuses(echo_with(listen=listen), f"^echo: .*{re.escape(listen)}: {why}")
