// Chat: what a message to a room of thousands costs, beside the kernel's own cost, nats-server and npm's ws.

import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { cpuSeconds, family, median, residentKiB, spread } from './cost.mjs';
import { Child, freePorts, listening, output, scratch, sleep } from './processes.mjs';
import { digits } from './report.mjs';

/** `goal`: of the ratio to the kernel's floor. With 200 messages a second several go out in one write, so there is no floor. */
const LOADS = [
  { subscribers: 1_000, rate: 20, floor: true },
  { subscribers: 5_000, rate: 10, floor: true },
  { subscribers: 10_000, rate: 5, floor: true },
  { subscribers: 1_000, rate: 200, floor: false },
];
const TEXT_BYTES = 200;
const PUBLISHERS = 10;
/** Everybody is in; what the joining left behind settles. */
const SETTLE_MS = 1_500;
const WARM_UP_MS = 1_000;
const CONNECT_MS = 130_000;
const STOP_MS = 90_000;
/** These are in the room before memory is first looked at: what a server allocates once is not a connection's. */
const FIRST = 100;
const NATS =
  ['/usr/sbin/nats-server', '/usr/bin/nats-server'].find((path) => existsSync(path)) ?? 'nats-server';
const FLOOR = 'kernel’s floor';
const NODI = 'nodi-chat';

/** Each starts a server; `speaks`: what the load speaks with it. */
const servers = {
  [FLOOR]: async ({ binaries }) => {
    const child = new Child('chat-floor', join(binaries, 'chat-load'), ['floor']);
    const { listening: address } = JSON.parse(await child.line());
    return { child, address, speaks: ['plain'] };
  },
  'nats-server': async () => {
    const [port, clients] = await freePorts(2);
    const config = join(scratch, `nats-${port}.conf`);
    writeFileSync(
      config,
      `host: 127.0.0.1
port: ${clients}
max_connections: 20000
websocket { host: 127.0.0.1, port: ${port}, no_tls: true, compression: false }
`,
    );
    const child = new Child('nats-server', NATS, ['-c', config]);
    await listening(port, child);
    return { child, address: `127.0.0.1:${port}`, speaks: ['nats'] };
  },
  ws: async () => {
    const [port] = await freePorts(1);
    const child = new Child('ws', process.execPath, [
      new URL('chat-broadcast.mjs', import.meta.url).pathname,
      String(port),
    ]);
    await listening(port, child);
    return { child, address: `127.0.0.1:${port}`, speaks: ['plain'] };
  },
  [NODI]: async ({ binaries, keys }) => {
    const [port] = await freePorts(1);
    const dir = join(scratch, `chat-${port}`);
    mkdirSync(dir, { recursive: true });
    const config = join(dir, 'chat.toml');
    writeFileSync(
      config,
      `log_level = "warn"
data_dir = "${dir}"
token_keys = "${keys}/chat-tokens.pub"
[http]
listen = "127.0.0.1:${port}"
[connections]
per_address = 20000
frames_per_s = 1000
frames_burst = 1000
[moderation.limits]
account = { burst = 100000, per_s = 1 }
attempts = { burst = 100000, per_s = 1 }
address = { burst = 100000, per_s = 1 }
channel = { burst = 100000, per_s = 1 }
`,
    );
    const child = new Child('nodi-chat', join(binaries, 'nodi-chat'), ['--config', config]);
    await listening(port, child);
    return { child, address: `127.0.0.1:${port}`, speaks: ['chat', '--keys', keys] };
  },
};

async function measure(context, name, load) {
  const server = await servers[name](context);
  // What the chat makes of a text of 200 bytes is what the others deliver: the same frames.
  const bytes = name === NODI ? TEXT_BYTES : context.payload;
  const room = new Child(
    'chat-load',
    join(context.binaries, 'chat-load'),
    [
      ...['room', '--server', server.address, '--subscribers', String(load.subscribers - PUBLISHERS)],
      ...['--publishers', String(PUBLISHERS), '--first', String(FIRST)],
      ...['--rate', String(load.rate), '--bytes', String(bytes), '--speaks', ...server.speaks],
    ],
    { stdin: true },
  );
  try {
    await room.line();
    const pids = family(server.child.pid);
    await sleep(SETTLE_MS);
    const before = residentKiB(pids);
    await ask(room, 'fill', CONNECT_MS);
    await sleep(SETTLE_MS);
    const idle = (residentKiB(pids) - before) / (load.subscribers - FIRST);
    await ask(room, 'start');
    await sleep(WARM_UP_MS);
    await ask(room, 'mark');
    const cpuBefore = cpuSeconds(pids);
    const startedAt = performance.now();
    await sleep(context.ms);
    const report = await ask(room, 'report');
    const cpu = cpuSeconds(pids) - cpuBefore;
    const wall = (performance.now() - startedAt) / 1_000;
    // The window closes with the report; what came late counts as late, what never came as lost.
    const end = await ask(room, 'stop', STOP_MS);
    const due = load.rate * wall * load.subscribers;
    return {
      perCpuSecond: report.delivered / cpu,
      share: report.delivered / due,
      cpuShare: cpu / wall,
      p50: report.p50_ms,
      p99: report.p99_ms,
      late: report.late_ms,
      idle,
      lost: end.lost,
      orders: end.orders,
      closed: end.closed,
      refused: end.refused,
      reasons: end.reasons,
      bytesEach: report.bytes / report.delivered,
    };
  } finally {
    await room.stop();
    await server.child.stop();
  }
}

async function ask(room, command, ms) {
  return JSON.parse(await room.ask(command, ms));
}

/** Bytes of the chat's frame for a text of 200 bytes, without the WebSocket's header. */
async function payloadOf(context) {
  const { bytesEach } = await measure({ ...context, ms: 1_000 }, NODI, { subscribers: 2 * FIRST, rate: 50 });
  const HEADER = 4;
  return Math.round(bytesEach) - HEADER;
}

export async function run({ binaries, quick }) {
  const runs = quick ? 1 : 3;
  const keys = join(scratch, 'chat-keys');
  await output(join(binaries, 'chat-load'), ['keys', '--dir', keys]);
  const context = { binaries, keys, ms: quick ? 3_000 : 8_000 };
  context.payload = await payloadOf(context);

  const results = [];
  for (const load of LOADS) {
    const names = Object.keys(servers).filter((name) => load.floor || name !== FLOOR);
    const samples = Object.fromEntries(names.map((name) => [name, []]));
    for (let turn = 0; turn < runs; turn++) {
      for (const name of names) samples[name].push(await measure(context, name, load));
    }
    const of = (name, key) => spread(samples[name].map((one) => one[key]));
    const nodi = of(NODI, 'perCpuSecond').median;
    for (const name of names) {
      results.push({
        ...load,
        server: name,
        deliveries_per_cpu_s: of(name, 'perCpuSecond'),
        nodi_ratio: nodi / of(name, 'perCpuSecond').median,
        cpu_share: of(name, 'cpuShare').median,
        delivered_in_time: of(name, 'share').median,
        p50_ms: of(name, 'p50').median,
        p99_ms: of(name, 'p99').median,
        publisher_late_ms: of(name, 'late').max,
        idle_kib: of(name, 'idle').median,
        lost: of(name, 'lost').max,
        orders: of(name, 'orders').max,
        closed: of(name, 'closed').max,
        refused: of(name, 'refused').max,
        reasons: [...new Set(samples[name].flatMap((one) => one.reasons))],
      });
    }
  }
  const at = (subscribers, rate, server) =>
    results.find((one) => one.subscribers === subscribers && one.rate === rate && one.server === server);
  const ratios = (server) => results.filter((one) => one.server === server).map((one) => one.nodi_ratio);
  const list = (values) => values.map((value) => digits(value, 2)).join(', ');
  const steady = at(5_000, 10, NODI);
  const burst = at(1_000, 200, NODI);
  const idle = median(
    results.filter((one) => one.server === NODI && one.subscribers > 1_000).map((one) => one.idle_kib),
  );
  return {
    title: 'Chat',
    how: `one room over loopback, texts of ${TEXT_BYTES} bytes (frames of ${context.payload} bytes, the same for all), ${PUBLISHERS} publishers, ${context.ms / 1_000} s, median of ${runs}; the same client for all: one thread that parses frames`,
    head: [
      'room',
      'messages/s',
      'server',
      'thousand deliveries/CPU-s',
      'min',
      'max',
      'nodi-chat is',
      'p50 ms',
      'p99 ms',
      'KiB/connection',
      'of one core',
      'lost',
    ],
    rows: results.map((one) => [
      one.subscribers,
      one.rate,
      one.server,
      digits(one.deliveries_per_cpu_s.median / 1_000, 1),
      digits(one.deliveries_per_cpu_s.min / 1_000, 1),
      digits(one.deliveries_per_cpu_s.max / 1_000, 1),
      `${digits(one.nodi_ratio, 2)} ×`,
      digits(one.p50_ms, 1),
      digits(one.p99_ms, 1),
      digits(one.idle_kib, 1),
      digits(one.cpu_share, 2),
      one.lost,
    ]),
    goals: [
      {
        goal: 'at least 0.9 × the kernel’s floor',
        value: list(ratios(FLOOR)),
        met: ratios(FLOOR).every((ratio) => ratio >= 0.9),
      },
      {
        goal: 'at least 1.4 × nats-server',
        value: list(ratios('nats-server')),
        met: ratios('nats-server').every((ratio) => ratio >= 1.4),
      },
      { goal: 'at most 6 KiB per idle connection', value: digits(idle, 1), met: idle <= 6 },
      {
        goal: '5,000 × 10/s: 99 of 100 within 100 ms',
        value: `${digits(steady.p99_ms, 1)} ms`,
        met: steady.p99_ms <= 100,
      },
      {
        goal: '1,000 × 200/s: nothing lost, one order for all',
        value: `${burst.lost} lost, ${burst.closed} closed, ${burst.refused} refused, ${burst.orders} order(s)`,
        met: burst.lost === 0 && burst.orders === 1 && burst.closed === 0 && burst.refused === 0,
      },
    ],
    data: { payload_bytes: context.payload, results },
  };
}
