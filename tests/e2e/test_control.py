# SPDX-License-Identifier: MIT
"""The control interface: routes, statuses and JSON, as toxiproxy's clients expect them."""
import json
import re

import pytest
from harness import answer, Upstream, free_port, is_served
from harness.control import Control, controlled

NOT_FOUND = b"404 page not found\n"


@pytest.fixture
def control(backend):
    with controlled(backend) as daemon:
        yield Control(daemon)


def error(words, status):
    return (json.dumps({"error": words, "status": status}, separators=(",", ":")) + "\n").encode()


def expect_error(got, words, status):
    assert (got.status, got.body) == (status, error(words, status))
    assert got.headers.get_content_type() == "text/plain"


def test_proxies(control):
    assert control.expect(200, "GET", "/proxies") == {}
    made = control.create("b", "localhost:1", "localhost:0")
    port = re.fullmatch(r"127\.0\.0\.1:(\d+)", made["listen"])[1]
    assert made == {"name": "b", "listen": f"127.0.0.1:{port}", "upstream": "localhost:1",
                    "enabled": True, "toxics": []}
    other = control.create("a", "localhost:1", enabled=False)
    assert other["enabled"] is False
    got = control.ask("GET", "/proxies")
    assert got.headers["Content-Type"] == "application/json"
    assert list(got.value) == ["a", "b"] and got.value == {"a": other, "b": made}
    assert control.expect(200, "GET", "/proxies/b") == made
    changed = control.expect(200, "PATCH", "/proxies/b", {"upstream": "localhost:2"})
    assert changed == {**made, "upstream": "localhost:2"}
    assert control.expect(200, "POST", "/proxies/b", {}) == changed
    gone = control.ask("DELETE", "/proxies/b")
    assert (gone.status, gone.body) == (204, b"")
    expect_error(control.ask("GET", "/proxies/b"), "proxy not found", 404)


@pytest.mark.parametrize("listen", ["", ":0", "0.0.0.0:0", "[::]:0"])
def test_any_address(control, listen):
    with Upstream(answer) as upstream:
        made = control.create(upstream=upstream.address, listen=listen)
        port = re.fullmatch(r"\[::\]:(\d+)", made["listen"])[1]
        assert control.expect(200, "GET", "/proxies/p")["listen"] == f"[::]:{port}"
        with control.dial() as client:
            assert is_served(client)


def test_wrong_methods_and_paths(control):
    for method, path in (("PUT", "/proxies"), ("DELETE", "/proxies"), ("HEAD", "/proxies"),
                         ("PUT", "/proxies/x"), ("PATCH", "/proxies/x/toxics"), ("GET", "/reset"),
                         ("GET", "/populate"), ("POST", "/version"), ("OPTIONS", "/version")):
        got = control.ask(method, path)
        assert (got.status, got.body) == (405, b""), (method, path)
    for path in ("/", "/x", "/proxies/", "/proxies/x/", "/proxies/x/y", "/proxies/x/toxics/",
                 "/proxies/x/toxics/y/z", "/version/", "//proxies"):
        got = control.ask("GET", path)
        assert (got.status, got.body) == (404, NOT_FOUND), path


def test_version(control):
    got = control.ask("GET", "/version")
    assert got.status == 200 and got.body.startswith(b'{"version": "2.12.0"') and got.body.endswith(b"}\n")
    assert got.headers["Content-Type"] == "application/json"
    assert re.fullmatch(r"\d+\.\d+\.\d+", got.value["version"])


def test_errors_of_proxies(control):
    control.create("a")
    for body, words, status in (
            ({"name": "a", "upstream": "localhost:1"}, "proxy already exists", 409),
            ({"upstream": "localhost:1"}, "missing required field: name", 400),
            ({"name": "", "upstream": "localhost:1"}, "missing required field: name", 400),
            ({"name": None, "upstream": "localhost:1"}, "missing required field: name", 400),
            ({"name": "b"}, "missing required field: upstream", 400),
            (None, None, 400), (b"", None, 400), (b"{", None, 400), (b"[]", None, 400),
            ({"name": 1}, None, 400), ({"name": "b", "enabled": "yes"}, None, 400)):
        got = control.ask("POST", "/proxies", body)
        assert got.status == status, (body, got)
        if words:
            expect_error(got, words, status)
        else:
            assert got.value["error"].startswith("bad request body: "), got
    expect_error(control.ask("POST", "/proxies/x", {}), "proxy not found", 404)
    expect_error(control.ask("DELETE", "/proxies/x"), "proxy not found", 404)
    expect_error(control.ask("GET", "/proxies/x/toxics"), "proxy not found", 404)
    expect_error(control.ask("POST", "/proxies/x/toxics", {"type": "noop"}), "proxy not found", 404)


def test_keys_in_any_case(control):
    made = control.expect(201, "POST", "/proxies", {
        "NAME": "a", "Upstream": "localhost:1", "listen": "127.0.0.1:0", "ENABLED": False,
        "toxics": [{"type": "noop"}], "unknown": {}}, Content_Type="application/x-www-form-urlencoded")
    assert made["name"] == "a" and made["enabled"] is False and made["toxics"] == []


def test_an_address_that_is_taken(control):
    made = control.create("a")
    got = control.ask("POST", "/proxies", {"name": "b", "listen": made["listen"], "upstream": "localhost:1"})
    assert got.status == 500 and made["listen"] in got.value["error"], got
    assert list(control.expect(200, "GET", "/proxies")) == ["a"]
    for listen in ("192.0.2.1:0", "nonsense", "127.0.0.1:99999"):
        got = control.ask("POST", "/proxies", {"name": "b", "listen": listen, "upstream": "localhost:1"})
        assert got.status == 500 and listen in got.value["error"], got


@pytest.mark.parametrize("name", ["a/b", "a:b@c", "a b", "a%2Fb", "é", "..", "a?b#c", 'q"\\', "x" * 255])
def test_names_of_any_text(control, name):
    made = control.create(name)
    assert made["name"] == name
    control.update(name, enabled=False)
    from urllib.parse import quote
    path = "/proxies/" + quote(name, safe="")
    control.expect(200, "POST", path + "/toxics", {"type": "noop", "name": name})
    assert control.expect(200, "GET", path + "/toxics/" + quote(name, safe=""))["name"] == name
    assert [*control.expect(200, "GET", "/proxies")] == [name]
    assert control.ask("DELETE", path).status == 204


def test_a_name_that_is_too_long(control):
    assert control.ask("POST", "/proxies", {"name": "x" * 256, "upstream": "localhost:1"}).status == 400
    assert control.ask("GET", "/proxies/" + "x" * 256).status == 404


def test_toxics(control):
    control.create()
    latency = {"attributes": {"latency": 10, "jitter": 0}, "name": "latency_downstream", "type": "latency",
               "stream": "downstream", "toxicity": 1}
    made = control.ask("POST", "/proxies/p/toxics", {"type": "latency", "attributes": {"latency": 10}})
    assert (made.status, made.value) == (200, latency)
    noop = control.expect(200, "POST", "/proxies/p/toxics", {
        "type": "noop", "stream": "UPstream", "toxicity": 0.5, "attributes": None})
    assert noop == {"attributes": {}, "name": "noop_UPstream", "type": "noop", "stream": "UPstream",
                    "toxicity": 0.5}
    last = control.expect(200, "POST", "/proxies/p/toxics", {
        "type": "bandwidth", "name": "last", "attributes": {"rate": 1}})
    assert control.expect(200, "GET", "/proxies/p/toxics") == [noop, latency, last]
    assert control.expect(200, "GET", "/proxies/p")["toxics"] == [noop, latency, last]
    assert control.expect(200, "GET", "/proxies/p/toxics/last") == last
    changed = control.expect(200, "PATCH", "/proxies/p/toxics/latency_downstream", {
        "name": "x", "type": "noop", "stream": "upstream", "attributes": {"jitter": 5}})
    assert changed == {**latency, "attributes": {"latency": 10, "jitter": 5}}
    assert control.expect(200, "POST", "/proxies/p/toxics/last", {"toxicity": 0})["toxicity"] == 0
    gone = control.ask("DELETE", "/proxies/p/toxics/last")
    assert (gone.status, gone.body) == (204, b"")
    for method in ("GET", "POST", "PATCH", "DELETE"):
        expect_error(control.ask(method, "/proxies/p/toxics/last", {}), "toxic not found", 404)


@pytest.mark.parametrize("body, words", [
    ({"type": "latency", "stream": ""}, "stream was invalid, can be either upstream or downstream"),
    ({"type": "latency", "stream": "both"}, "stream was invalid, can be either upstream or downstream"),
    ({"type": "none"}, "invalid toxic type"),
    ({}, "invalid toxic type"),
    (b"", None), (b"nonsense", None), ({"type": "latency", "attributes": []}, None),
    ({"type": "latency", "attributes": {"latency": 1.5}}, "latency"),
    (b'{"type": "latency", "attributes": {"latency": 1e2}}', "latency"),
    ({"type": "latency", "attributes": {"latency": "1"}}, "latency"),
    ({"type": "latency", "attributes": {"latency": 1 << 64}}, None),
    ({"type": "latency", "attributes": {"latency": -1}}, "latency"),
    ({"type": "latency", "attributes": {"jitter": (1 << 63) - 1}}, "jitter"),
    ({"type": "bandwidth", "attributes": {"rate": -1}}, "rate"),
    ({"type": "slicer"}, "average_size"),
    ({"type": "slicer", "attributes": {"average_size": 5, "size_variation": 6}}, "size_variation"),
    ({"type": "noop", "toxicity": 2}, "toxicity"),
])
def test_toxics_that_are_refused(control, body, words):
    control.create()
    got = control.ask("POST", "/proxies/p/toxics", body)
    assert got.status == 400, got
    if words and words.startswith(("stream", "invalid")):
        expect_error(got, words, 400)
    else:
        assert got.value["error"].startswith("bad request body: " + (f"{words}: expected" if words else ""))
    assert control.expect(200, "GET", "/proxies/p/toxics") == []


def test_a_name_is_unique_over_both_streams(control):
    control.create()
    control.add("noop", name="n", stream="upstream")
    expect_error(control.ask("POST", "/proxies/p/toxics", {"type": "latency", "name": "n"}),
                 "toxic already exists", 409)


def test_populate(control):
    assert control.ask("POST", "/populate", []).body == b'{"proxies":null}'
    kept, moved, other = control.create("kept", listen="127.0.0.1:%d" % free_port()), control.create(
        "moved"), control.create("other")
    control.add("noop", "kept")
    items = [{"name": "kept", "listen": kept["listen"], "upstream": kept["upstream"], "enabled": False},
             {"name": "moved", "listen": moved["listen"], "upstream": "localhost:2"},
             {"name": "new", "listen": "localhost:0", "upstream": "localhost:3",
              "toxics": [{"type": "latency", "attributes": {"latency": 5}}]}]
    got = control.ask("POST", "/populate", items)
    assert got.status == 201 and got.headers["Content-Type"] == "application/json"
    assert [(p["name"], p["upstream"], p["enabled"], len(p["toxics"])) for p in got.value["proxies"]] == [
        ("kept", "127.0.0.1:1", True, 1), ("moved", "localhost:2", True, 0), ("new", "localhost:3", True, 1)]
    assert got.value["proxies"][1]["listen"] == moved["listen"]
    everything = control.expect(200, "GET", "/proxies")
    assert [*everything] == ["kept", "moved", "new", "other"] and everything["other"] == other
    again = control.expect(201, "POST", "/populate", items)["proxies"]
    assert again[:2] == got.value["proxies"][:2]
    assert again[2]["listen"] != got.value["proxies"][2]["listen"]  # port 0 is another address


def test_populate_checks_all_first(control):
    good = {"name": "a", "listen": "127.0.0.1:0", "upstream": "localhost:1"}
    for bad, words in (({"upstream": "localhost:1"}, "missing required field: name at proxy 2"),
                       ({"name": "b"}, "missing required field: upstream at proxy 2"),
                       ({"name": 5}, None), (5, None),
                       ({**good, "name": "b", "toxics": [{"type": "x"}]}, "invalid toxic type")):
        got = control.ask("POST", "/populate", [good, bad])
        assert got.status == got.value["status"] == 400 and got.value["proxies"] is None, got
        assert got.value["error"] == words if words else got.value["error"].startswith("bad request body: ")
        assert got.headers["Content-Type"] == "application/json"
    assert control.ask("POST", "/populate", {}).status == 400
    assert control.expect(200, "GET", "/proxies") == {}


def test_populate_stops_at_the_first_that_cannot_be_bound(control):
    items = [{"name": name, "listen": listen, "upstream": "localhost:1"}
             for name, listen in (("a", "127.0.0.1:0"), ("b", "192.0.2.1:1"), ("c", "127.0.0.1:0"))]
    got = control.ask("POST", "/populate", items)
    assert got.status == got.value["status"] == 500 and "192.0.2.1:1" in got.value["error"]
    assert [p["name"] for p in got.value["proxies"]] == ["a"]
    assert [*control.expect(200, "GET", "/proxies")] == ["a"]


def test_reset(control):
    control.create("a")
    control.create("b", enabled=False)
    control.add("latency", "a", latency=5)
    got = control.ask("POST", "/reset")
    assert (got.status, got.body) == (204, b"")
    assert [(p["enabled"], p["toxics"]) for p in control.expect(200, "GET", "/proxies").values()] == [
        (True, [])] * 2
