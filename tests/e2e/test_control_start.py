# SPDX-License-Identifier: MIT
"""A server for test suites, made by --control and --populate without a configuration file."""
import json

import pytest
from harness import Daemon, Upstream, answer, config, echo, free_port, local, run_selectd
from harness.control import Control


def test_without_a_file():
    with Upstream(answer) as upstream, Daemon(None, args=["--control", "localhost:0"]) as daemon:
        assert daemon.lines("^ready: 0 services, ")
        control = Control(daemon)
        assert control.expect(200, "GET", "/proxies") == {}
        control.create(upstream=upstream.address)
        with control.dial() as client:
            echo(client)
        daemon.signal(1)
        daemon.wait_for("there is no configuration file to reload")
        with control.dial() as client:
            echo(client)


def test_several_addresses():
    port = free_port()
    with Daemon(None, args=["--control", f"127.0.0.1:{port}", "--control", "[::1]:0"]) as daemon:
        assert Control(daemon).address == f"127.0.0.1:{port}"
        for i in range(2):
            assert Control(daemon, i).ask("GET", "/version").status == 200


def test_an_address_that_other_hosts_reach():
    with Daemon(None, args=["--control", ":0"]) as daemon:
        assert daemon.lines(r"control interface: every host that reaches \*:\d+ may change the services")


def test_populate(tmp_path):
    path = tmp_path / "proxies.json"
    with Upstream(answer) as upstream:
        path.write_text(json.dumps([
            {"name": "one", "listen": "127.0.0.1:0", "upstream": upstream.address,
             "toxics": [{"type": "latency", "attributes": {"latency": 5}}]},
            {"name": "two", "upstream": upstream.address, "enabled": False}]))
        with Daemon(None, args=["--control", "127.0.0.1:0", "--populate", str(path)]) as daemon:
            assert daemon.lines("^ready: 2 services, ")
            control = Control(daemon)
            proxies = control.expect(200, "GET", "/proxies")
            assert [(p["enabled"], len(p["toxics"])) for p in proxies.values()] == [(True, 1), (False, 0)]
            with control.dial("one") as client:
                echo(client)


@pytest.mark.parametrize("text, words", [
    (None, "No such file or directory"), ("", "ends too early"), ("{}", "expected an array"),
    ('[{"name": "a"}]', "missing required field: upstream at proxy 1")])
def test_a_bad_file(tmp_path, text, words):
    path = tmp_path / "proxies.json"
    if text is not None:
        path.write_text(text)
    status, _, err = run_selectd("--control", "127.0.0.1:0", "--populate", path)
    assert status == 78 and f"{path}: " in err and words in err


def test_a_change_needs_a_restart():
    port = free_port()
    with Daemon(config(control=local(port))) as daemon:
        daemon.reload(config(control=local(port)))
        assert not daemon.lines("until selectd is restarted")
        daemon.reload(config())
        assert daemon.lines("^control stays as it was until selectd is restarted")
        Control(daemon).create()
        assert len(daemon.lines("until selectd is restarted")) == 1


def test_the_file_and_the_option_add_up(tmp_path):
    with Daemon(config(control="127.0.0.1:0"), args=["--control", f"unix:{tmp_path}/c"]) as daemon:
        assert Control(daemon).ask("GET", "/proxies").status == 200
        assert Control(daemon, 1).address == f"unix:{tmp_path}/c"
        assert Control(daemon, 1).ask("GET", "/proxies").status == 200


def test_an_address_that_is_taken():
    with Daemon(None, args=["--control", "127.0.0.1:0"]) as daemon:
        address = Control(daemon).address
        status, _, err = run_selectd("--control", address)
        assert status == 71 and f"the control interface cannot listen on {address}: Address already in use" in err


def test_a_bad_address():
    status, _, err = run_selectd("--control", "nonsense")
    assert status == 64 and "--control 'nonsense': expected" in err
