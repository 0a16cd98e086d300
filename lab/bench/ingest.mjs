// RTMP ingest: processor time per Gbit and memory per publisher, beside nginx-rtmp with one worker.

import { mkdirSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { join } from 'node:path';

import { constantRateClip } from './clips.mjs';
import { cpuSeconds, family, median, residentKiB, spread } from './cost.mjs';
import { startNginx } from './nginx.mjs';
import { Child, freePorts, listening, output, scratch, sleep } from './processes.mjs';
import { digits } from './report.mjs';

const RATE_MBIT = 6;
/** Publishers start spread over 2 s; the window begins when all of them send. */
const RAMP_MS = 2_500;

const RTMP = (port, more) =>
  `rtmp { server { listen 127.0.0.1:${port}; chunk_size 4096; application live { live on; ${more} } } }`;

/** Each starts a server and returns its port, what to measure, and how to stop it. */
const servers = {
  'nginx-rtmp': async () => {
    const [port] = await freePorts(1);
    const child = await startNginx('nginx-rtmp', port, () => RTMP(port, ''), {
      rtmp: true,
    });
    return { port, child, stop: () => child.stop('SIGTERM') };
  },
  'nginx-rtmp, one push': async () => {
    const [port, sinkPort] = await freePorts(2);
    const sink = await startNginx('nginx-sink', sinkPort, () => RTMP(sinkPort, ''), { rtmp: true });
    const child = await startNginx(
      'nginx-rtmp',
      port,
      () => RTMP(port, `push rtmp://127.0.0.1:${sinkPort}/live;`),
      { rtmp: true },
    );
    return {
      port,
      child,
      stop: async () => {
        await child.stop();
        await sink.stop();
      },
    };
  },
  'nodi-ingest': (context) => startIngest(context, null),
  'nodi-ingest, hand-over': async (context) => {
    const socket = join(scratch, `worker-${Date.now()}.sock`);
    const sink = new Child('sink', join(context.binaries, 'rtmp-load'), ['sink', '--socket', socket], {
      stdin: true,
    });
    await sink.line();
    const ingest = await startIngest(context, socket);
    return {
      ...ingest,
      stop: async () => {
        await ingest.stop();
        await sink.stop();
      },
    };
  },
};

async function startIngest(context, worker) {
  const [port] = await freePorts(1);
  const dir = join(scratch, `ingest-${Date.now()}`);
  mkdirSync(join(dir, 'sessions'), { recursive: true });
  // Makes the keys if they are not there yet.
  await output(join(context.binaries, 'nodi-lab'), ['key', '--channel', 'load', '--dir', context.keys]);
  const config = join(dir, 'ingest.toml');
  writeFileSync(
    config,
    `log_level = "warn"
[rtmp]
listen = "127.0.0.1:${port}"
[keys]
public_keys = "${context.keys}/keys/stream-keys.pub"
revocations = "${context.keys}/keys/revocations.json"
[sessions]
credentials = "${dir}/sessions"
[worker]
${worker === null ? '' : `socket = "${worker}"`}
[status]
socket = "${dir}/status.sock"
[limits]
connections = 2000
connections_per_address = 2000
`,
  );
  const child = new Child('nodi-ingest', join(context.binaries, 'nodi-ingest'), ['--config', config]);
  await listening(port, child);
  return {
    port,
    child,
    keys: join(context.keys, 'keys'),
    kept: () => keptBytes(`${dir}/status.sock`),
    stop: () => child.stop(),
  };
}

/** What ingest keeps of all streams for the next worker, and what waits for the current one, as it says itself. */
async function keptBytes(socketPath) {
  const text = await new Promise((resolve, reject) => {
    get({ socketPath, path: '/sessions' }, (response) => {
      let body = '';
      response.on('data', (data) => (body += data));
      response.on('end', () => resolve(body));
    }).on('error', reject);
  });
  return JSON.parse(text).reduce(
    (sum, { worker }) => sum + (worker === null ? 0 : worker.gop_bytes + worker.queued_bytes),
    0,
  );
}

async function measure(context, name, publishers, chunkSize, windowMs) {
  const server = await servers[name](context);
  const pids = family(server.child.pid);
  const memoryBefore = residentKiB(pids);
  const load = new Child(
    'rtmp-load',
    join(context.binaries, 'rtmp-load'),
    [
      'publish',
      ...[
        '--server',
        `127.0.0.1:${server.port}`,
        '--clip',
        context.clip,
        '--publishers',
        String(publishers),
        '--chunk-size',
        String(chunkSize),
      ],
      ...(server.keys === undefined ? [] : ['--keys', server.keys]),
    ],
    { stdin: true },
  );
  try {
    await load.line(60_000);
    await sleep(RAMP_MS);
    const before = {
      ...JSON.parse(await load.ask()),
      cpu: cpuSeconds(pids),
      at: performance.now(),
    };
    await sleep(windowMs);
    const after = {
      ...JSON.parse(await load.ask()),
      cpu: cpuSeconds(pids),
      at: performance.now(),
    };
    const memory = residentKiB(pids);
    const kept = server.kept === undefined ? 0 : (await server.kept()) / 1024;
    const gigabits = ((after.bytes - before.bytes) * 8) / 1e9;
    const expected = (publishers * RATE_MBIT * (after.at - before.at)) / 1e6;
    if (after.publishers !== publishers)
      throw new Error(
        `${name}: ${publishers - after.publishers} of ${publishers} publishers were dropped: ${server.child.tail()}`,
      );
    if (gigabits < expected * 0.95)
      throw new Error(`${name}: took ${digits(gigabits, 2)} of ${digits(expected, 2)} Gbit`);
    return {
      cpuPerGbit: (after.cpu - before.cpu) / gigabits,
      kibPerPublisher: (memory - memoryBefore) / publishers,
      keptKibPerPublisher: kept / publishers,
      gigabits,
    };
  } finally {
    await load.stop();
    await server.stop();
  }
}

export async function run({ binaries, quick }) {
  const runs = quick ? 1 : 3;
  const windowMs = quick ? 4_000 : 6_000;
  const counts =
    process.env.BENCH_PUBLISHERS?.split(',').map(Number) ?? (quick ? [20, 100] : [1, 20, 100, 300]);
  const context = {
    binaries,
    clip: await constantRateClip(),
    keys: join(scratch, 'keys'),
  };
  const results = [];
  for (const chunkSize of [4096, 128]) {
    for (const publishers of counts) {
      const samples = Object.fromEntries(Object.keys(servers).map((name) => [name, []]));
      // Peers alternate, so that what the machine does meanwhile hits all of them.
      for (let turn = 0; turn < runs; turn++) {
        for (const name of Object.keys(servers))
          samples[name].push(await measure(context, name, publishers, chunkSize, windowMs));
      }
      for (const [name, list] of Object.entries(samples)) {
        results.push({
          server: name,
          publishers,
          chunk_size: chunkSize,
          cpu_s_per_gbit: spread(list.map((one) => one.cpuPerGbit)),
          kib_per_publisher: spread(list.map((one) => one.kibPerPublisher)),
          kept_kib_per_publisher: spread(list.map((one) => one.keptKibPerPublisher)),
          besides_kib_per_publisher: spread(list.map((one) => one.kibPerPublisher - one.keptKibPerPublisher)),
        });
      }
    }
  }
  const find = (server, publishers, chunkSize) =>
    results.find(
      (one) => one.server === server && one.publishers === publishers && one.chunk_size === chunkSize,
    );
  const ratio = (one) => {
    const peer = find(
      one.server.includes(',') ? 'nginx-rtmp, one push' : 'nginx-rtmp',
      one.publishers,
      one.chunk_size,
    );
    return one.cpu_s_per_gbit.median / peer.cpu_s_per_gbit.median;
  };
  const most = counts.at(-1);
  const goal = (text, server, limit, peer) => {
    const values = [4096, 128].map(
      (chunkSize) =>
        find(server, most, chunkSize).cpu_s_per_gbit.median /
        find(peer, most, chunkSize).cpu_s_per_gbit.median,
    );
    return {
      goal: text,
      value: `${values.map((value) => digits(value, 2)).join(' and ')} (chunks of 4096 and 128 bytes, ${most} publishers)`,
      met: values.every((value) => value <= limit),
    };
  };
  const received = find('nodi-ingest', most, 4096).kib_per_publisher.median;
  const handed = find('nodi-ingest, hand-over', most, 4096);
  const besides = handed.besides_kib_per_publisher.median;
  return {
    title: 'Ingest',
    how: `Publishers of ${RATE_MBIT} Mbit/s in real time over loopback, window ${windowMs / 1_000} s, median of ${runs}. Ratio: to nginx-rtmp with one worker, as far as it does the same`,
    head: ['server', 'publishers', 'chunks', 'CPU-s/Gbit', 'min', 'max', 'ratio', 'KiB/publisher'],
    rows: results.map((one) => [
      one.server,
      one.publishers,
      one.chunk_size,
      digits(one.cpu_s_per_gbit.median, 3),
      digits(one.cpu_s_per_gbit.min, 3),
      digits(one.cpu_s_per_gbit.max, 3),
      digits(ratio(one), 2),
      digits(one.kib_per_publisher.median, 0),
    ]),
    goals: [
      goal('receive only, at most 0.85 × nginx-rtmp', 'nodi-ingest', 0.85, 'nginx-rtmp'),
      goal(
        'with hand-over, at most 1.0 × nginx-rtmp with one push',
        'nodi-ingest, hand-over',
        1,
        'nginx-rtmp, one push',
      ),
      {
        goal: 'at most 400 KiB per publisher besides the group of pictures kept',
        value: `${digits(received, 0)} KiB receive only; with hand-over ${digits(handed.kib_per_publisher.median, 0)} KiB, of which ${digits(handed.kept_kib_per_publisher.median, 0)} KiB were the group at that moment: ${digits(besides, 0)} KiB besides`,
        met: received <= 400 && besides <= 400,
      },
    ],
    data: { results },
  };
}
