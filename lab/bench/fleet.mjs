// The fleet server with thousands of simulated boxes: what it and the broker cost, how quick its lists are, and when
// it notices that a box has lost its power; beside what Mosquitto alone costs for the same traffic. And one real agent.

import { join } from 'node:path';

import { cpuSeconds, residentKiB, spread } from './cost.mjs';
import { Child, scratch, sleep, until } from './processes.mjs';
import { digits } from './report.mjs';

const SIZES = [2_000, 5_000];
const QUICK_SIZES = [300];
const TELEMETRY_S = 10;
/** Certificates are signed, connections are made, retained messages are told. */
const START_MS = 400_000;
const ONLINE_MS = 180_000;
/** The crowd of the beginning is over. */
const SETTLE_MS = 15_000;
/** State changes while it is measured: commands to single boxes, and settings of single boxes. */
const CHANGE_EVERY_MS = 500;
const REQUESTS = 400;
const SIMULATED_DEATHS = 5;
const OFFLINE_MS = 60_000;
/** How often somebody looks whether the box is offline. */
const LOOK_MS = 100;

/** The simulator with what stands behind it. */
class Simulator {
  #child;
  links;

  static async start(binaries, boxes, words = []) {
    const simulator = new Simulator();
    simulator.#child = new Child('fleet-sim', join(binaries, 'nodi-lab'), simulator.#words(boxes, words), {
      stdin: true,
    });
    simulator.links = JSON.parse(await simulator.#child.line(START_MS));
    await until(`${boxes} boxes online`, ONLINE_MS, async () => {
      // One in a hundred comes and goes.
      const online = (await simulator.ask('figures')).online >= boxes * 0.985;
      if (!online) await sleep(500);
      return online;
    });
    return simulator;
  }

  #words(boxes, words) {
    const dir = join(scratch, `fleet-${boxes}-${words.length}`);
    return [
      'fleet-sim',
      '--json',
      ...['--boxes', String(boxes), '--telemetry-s', String(TELEMETRY_S), '--dir', dir],
      ...words,
    ];
  }

  get pid() {
    return this.#child.pid;
  }

  async ask(line) {
    const answer = JSON.parse(await this.#child.ask(line));
    if (answer.error !== undefined) throw new Error(`fleet-sim: ${line}: ${answer.error}`);
    return answer;
  }

  async stop() {
    await this.#child.stop();
  }
}

/** The REST API, over connections that are kept. */
class Api {
  constructor(links) {
    this.base = `${links.fleet_url}/api/v1`;
    this.headers = { authorization: `Bearer ${links.api_token}` };
  }

  async call(method, path, body) {
    const answer = await fetch(`${this.base}${path}`, {
      method,
      headers: { ...this.headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text === '' ? null : JSON.parse(text);
  }

  get(path) {
    return this.call('GET', path);
  }
}

function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)];
}

/** Milliseconds of each of `paths`, one request after the other, as one dashboard makes them. */
async function timed(api, paths, count) {
  const times = [];
  for (let turn = 0; turn < count; turn++) {
    const startedAt = performance.now();
    await api.get(paths[turn % paths.length]);
    times.push(performance.now() - startedAt);
  }
  return { p50_ms: percentile(times, 0.5), p99_ms: percentile(times, 0.99), max_ms: Math.max(...times) };
}

/** Cost of processes while `work` runs, as shares of a core and MiB. */
async function costOf(pids, work) {
  const before = Object.fromEntries(Object.entries(pids).map(([name, pid]) => [name, cpuSeconds([pid])]));
  const startedAt = performance.now();
  await work();
  const wall = (performance.now() - startedAt) / 1_000;
  return Object.fromEntries(
    Object.entries(pids).map(([name, pid]) => [
      name,
      { cores: (cpuSeconds([pid]) - before[name]) / wall, mib: residentKiB([pid]) / 1_024 },
    ]),
  );
}

/** Commands and settings for one box after the other, for `ms`. */
async function changes(simulator, api, ms) {
  const end = performance.now() + ms;
  let given = 0;
  for (; performance.now() < end; given++) {
    const { box } = await simulator.ask('any');
    if (given % 2 === 0) {
      const command = { action: { kind: 'identify', seconds: 1 } };
      await api.call('POST', `/boxes/${box}/commands`, command);
    } else {
      const { version } = await api.get(`/boxes/${box}/desired`);
      const change = {
        expected_version: version,
        settings: { log_level: given % 4 === 1 ? 'debug' : 'info' },
      };
      await api.call('PUT', `/boxes/${box}/desired`, change);
    }
    await sleep(CHANGE_EVERY_MS);
  }
  return given;
}

/** Seconds from a box's loss of power until the API says that it is offline. */
async function secondsUntilOffline(simulator, api) {
  const { box } = await simulator.ask('any');
  await simulator.ask(`hang ${box}`);
  const startedAt = performance.now();
  await until(`${box} offline`, OFFLINE_MS, async () => {
    const offline = (await api.get(`/boxes/${box}`)).state === 'offline';
    if (!offline) await sleep(LOOK_MS);
    return offline;
  });
  return (performance.now() - startedAt) / 1_000;
}

async function withServer(binaries, boxes, ms) {
  const simulator = await Simulator.start(binaries, boxes);
  const api = new Api(simulator.links);
  await sleep(SETTLE_MS);
  const before = await simulator.ask('figures');
  let given = 0;
  const cost = await costOf({ ...simulator.links.pids, simulator: simulator.pid }, async () => {
    given = await changes(simulator, api, ms);
  });
  const figures = await simulator.ask('figures');
  const some = (await api.get('/boxes?per_page=100')).items.map((box) => box.id);
  const list = await timed(
    api,
    [
      '/boxes?per_page=50',
      '/boxes?per_page=50&page=3&sort=-cpu',
      '/boxes?per_page=50&state=online&sort=name',
      '/boxes?per_page=50&q=00',
    ],
    REQUESTS,
  );
  const now = Date.now();
  const hour = `from_ms=${now - 3_600_000}&to_ms=${now}&points=360`;
  const page = await timed(
    api,
    some.flatMap((id) => [
      `/boxes/${id}`,
      `/boxes/${id}/telemetry?${hour}`,
      `/boxes/${id}/commands?per_page=20`,
    ]),
    REQUESTS,
  );
  const offline = [];
  for (let turn = 0; turn < SIMULATED_DEATHS; turn++) offline.push(await secondsUntilOffline(simulator, api));
  await simulator.stop();
  const seconds = ms / 1_000;
  return {
    boxes,
    cost,
    messages_per_s: (figures.published - before.published) / seconds,
    changes: given,
    refused: figures.refused,
    list,
    page,
    offline_s: spread(offline),
  };
}

async function brokerAlone(binaries, boxes, ms) {
  const simulator = await Simulator.start(binaries, boxes, ['--broker-alone']);
  await sleep(SETTLE_MS);
  const before = await simulator.ask('figures');
  const cost = await costOf(simulator.links.pids, () => sleep(ms));
  const figures = await simulator.ask('figures');
  await simulator.stop();
  const seconds = ms / 1_000;
  return {
    boxes,
    cost,
    messages_per_s: (figures.published - before.published) / seconds,
    taken_per_s: (figures.taken - before.taken) / seconds,
  };
}

/** One real agent of a box without a stream. */
async function agent(binaries, ms) {
  const lab = new Child('nodi-lab', join(binaries, 'nodi-lab'), ['up', '--json', '--edge', 'none']);
  const links = JSON.parse(await lab.line(START_MS));
  await sleep(SETTLE_MS);
  const cost = await costOf({ agent: links.pids.agent[0] }, () => sleep(ms));
  await lab.stop();
  return cost.agent;
}

export async function run({ binaries, quick }) {
  const ms = quick ? 15_000 : 60_000;
  const sizes = quick ? QUICK_SIZES : SIZES;
  const results = [];
  for (const boxes of sizes) {
    const alone = await brokerAlone(binaries, boxes, ms);
    const whole = await withServer(binaries, boxes, ms);
    results.push({ boxes, alone, whole });
  }
  const one = await agent(binaries, ms);
  const largest = results[results.length - 1].whole;
  const row = (boxes, what, cost, rate) => [
    boxes,
    what,
    digits(cost.cores, 3),
    digits(cost.mib, 0),
    rate === undefined ? '–' : digits(rate, 0),
  ];
  const worst = (key, of) => Math.max(...results.map(({ whole }) => whole[key][of]));
  return {
    title: 'Fleet',
    how: `simulated boxes over mutual TLS, telemetry every ${TELEMETRY_S} s, 5 % with a session that reports every 5 s, 1 % flapping, a command or a change of settings every ${CHANGE_EVERY_MS / 1_000} s; ${ms / 1_000} s each; Mosquitto alone has the same boxes and a subscriber that throws everything away`,
    head: ['boxes', 'process', 'cores', 'MiB', 'messages/s'],
    rows: [
      ...results.flatMap(({ boxes, alone, whole }) => [
        row(boxes, 'mosquitto alone', alone.cost.mosquitto, alone.messages_per_s),
        row(boxes, 'mosquitto', whole.cost.mosquitto, whole.messages_per_s),
        row(boxes, 'nodi-fleet', whole.cost.fleet),
        row(boxes, '(simulator)', whole.cost.simulator),
      ]),
      row(1, 'nodi-agent', one),
    ],
    goals: [
      {
        goal: 'server at most 0.25 core',
        value: digits(largest.cost.fleet.cores, 3),
        met: largest.cost.fleet.cores <= 0.25,
      },
      {
        goal: 'server at most 300 MiB',
        value: `${digits(largest.cost.fleet.mib, 0)} MiB at ${largest.boxes} boxes`,
        met: largest.cost.fleet.mib <= 300,
      },
      {
        goal: 'list of boxes, p99 at most 50 ms',
        value: `${digits(worst('list', 'p99_ms'), 1)} ms (p50 ${digits(worst('list', 'p50_ms'), 1)} ms)`,
        met: worst('list', 'p99_ms') <= 50,
      },
      {
        goal: "one box's page, p99 of each of its requests at most 50 ms",
        value: `${digits(worst('page', 'p99_ms'), 1)} ms (p50 ${digits(worst('page', 'p50_ms'), 1)} ms)`,
        met: worst('page', 'p99_ms') <= 50,
      },
      {
        goal: 'a box without power is offline within 15 s',
        value: `${digits(worst('offline_s', 'median'), 1)} s (${digits(worst('offline_s', 'max'), 1)} s at most)`,
        met: worst('offline_s', 'max') <= 15,
      },
      {
        goal: 'agent at most 25 MiB and 1 % of a core',
        value: `${digits(one.mib, 1)} MiB, ${digits(100 * one.cores, 2)} %`,
        met: one.mib <= 25 && one.cores <= 0.01,
      },
    ],
    data: { results, agent: one },
  };
}
