// SPDX-License-Identifier: MIT
// Drives a control interface with toxiproxy's Node client: client.js URL UPSTREAM
"use strict";
const assert = require("node:assert");
const net = require("node:net");
const { Toxiproxy } = require("toxiproxy-node-client");

const [url, upstream] = process.argv.slice(2);
const toxiproxy = new Toxiproxy(url);

// Every type with all its attributes.
const toxics = {
  latency: { latency: 10, jitter: 1 },
  bandwidth: { rate: 1000 },
  slow_close: { delay: 10 },
  timeout: { timeout: 10000 },
  reset_peer: { timeout: 10000 },
  slicer: { average_size: 10, size_variation: 5, delay: 10 },
  limit_data: { bytes: 1000 },
};

// How long it takes, in milliseconds, until the echo behind a proxy has answered.
function roundTrip(proxy) {
  const [, host, port] = proxy.listen.match(/^(.*):(\d+)$/);
  return new Promise((resolve, reject) => {
    const began = process.hrtime.bigint();
    const socket = net.connect(port, host, () => socket.write("x"));
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("closed")));
    socket.on("data", () => {
      socket.removeAllListeners("close");
      socket.destroy();
      resolve(Number(process.hrtime.bigint() - began) / 1e6);
    });
  });
}

async function proxies() {
  const body = { name: "one", listen: "localhost:0", upstream };
  const proxy = await toxiproxy.createProxy(body);
  assert.deepStrictEqual(proxy.toJson(), { ...body, listen: proxy.listen, enabled: true });
  await assert.rejects(toxiproxy.createProxy(body), /proxy already exists|409/);
  assert.deepStrictEqual((await toxiproxy.get("one")).toJson(), proxy.toJson());
  assert.deepStrictEqual(Object.keys(await toxiproxy.getAll()), ["one"]);
  await assert.rejects(toxiproxy.get("two"));
  await roundTrip(proxy);
  const off = await proxy.update({ ...proxy.toJson(), enabled: false });
  assert.strictEqual(off.enabled, false);
  await assert.rejects(roundTrip(proxy));
  const on = await proxy.update({ ...proxy.toJson(), enabled: true });
  assert.deepStrictEqual(on.toJson(), proxy.toJson());
  await roundTrip(on);
  await proxy.remove();
  assert.deepStrictEqual(await toxiproxy.getAll(), {});
}

async function eachToxic(proxy) {
  for (const [type, attributes] of Object.entries(toxics)) {
    const toxic = await proxy.addToxic({ type, attributes, stream: "downstream", toxicity: 0.5 });
    const whole = { type, attributes, name: `${type}_downstream`, stream: "downstream", toxicity: 0.5 };
    assert.deepStrictEqual(toxic.toJson(), whole);
    assert.deepStrictEqual((await proxy.getToxic(toxic.name)).toJson(), whole);
    const changed = await toxic.update({ attributes, toxicity: 1 });
    assert.deepStrictEqual(changed.toJson(), { ...whole, toxicity: 1 });
    await toxic.remove();
    await assert.rejects(proxy.getToxic(toxic.name));
  }
}

async function delays() {
  const { one, two } = await toxiproxy.populate([
    { name: "one", listen: "localhost:0", upstream },
    { name: "two", listen: "localhost:0", upstream, enabled: false },
  ]);
  assert.strictEqual(two.enabled, false);
  await eachToxic(one);
  await one.addToxic({ type: "latency", attributes: { latency: 100 }, name: "slow" });
  assert.ok(await roundTrip(one) >= 100);
  await toxiproxy.reset();
  assert.ok(await roundTrip(await toxiproxy.get("two")) < 5000);
  await assert.rejects(one.getToxic("slow"));
}

async function main() {
  assert.match(await toxiproxy.getVersion(), /"version": "2\.\d+\.\d+"/);
  await proxies();
  await delays();
  console.log("all passed");
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
