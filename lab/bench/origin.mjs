// The origin: requests per second of its processor time, beside nginx with one worker that has the same bytes as files.

import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { cpuSeconds, family, residentKiB, spread } from './cost.mjs';
import { httpBlock, startNginx } from './nginx.mjs';
import { Child, freePorts, listening, output, scratch, sleep } from './processes.mjs';
import { Box, makeCertificates, RENDITION } from './push.mjs';
import { digits } from './report.mjs';

const PART_BYTES = 200 * 1024;
const PARTS = 6;
const SEGMENT_S = 2;
/** A full window of 60 s. */
const SEGMENTS = 31;
const BLOCKED_PLAYERS = 1_000;
const BLOCKED_PART_MS = 333;
const BLOCKED_PART_BYTES = 20 * 1024;
const CHANNEL = 'load';
/** wrk opens its connections and the caches get warm. */
const WARM_UP_MS = 1_000;

async function startOrigin(binaries) {
  const dir = join(scratch, 'origin');
  mkdirSync(dir, { recursive: true });
  makeCertificates(dir);
  const key = (await output(join(binaries, 'nodi-lab'), ['key', '--channel', CHANNEL, '--dir', dir])).trim();
  const [push, http] = await freePorts(2);
  const config = join(dir, 'origin.toml');
  writeFileSync(
    config,
    `log_level = "warn"
[push]
listen = "127.0.0.1:${push}"
certificate = "${dir}/server.pem"
private_key = "${dir}/server.key"
client_ca = "${dir}/ca.pem"
[keys]
public = "${dir}/keys/stream-keys.pub"
[public]
listen = "127.0.0.1:${http}"
# As many as the peer has workers.
threads = 1
[playlist]
# The channel stands still while it is measured.
stalled_after_s = 3600
reconnect_window_s = 3600
`,
  );
  const child = new Child('nodi-origin', join(binaries, 'nodi-origin'), ['--config', config]);
  await listening(http, child);
  await listening(push, child);
  const box = new Box(push, dir, CHANNEL, key);
  await box.claim({
    segmentSeconds: SEGMENT_S,
    partSeconds: SEGMENT_S / PARTS,
  });
  return { child, box, port: http };
}

/** Requests the paths in turn over `connections` for `ms`; returns how many were answered and at what cost. */
async function load(server, paths, connections, ms) {
  const script = join(scratch, 'paths.lua');
  writeFileSync(
    script,
    `local requests = {}
function init(args)
  for index, path in ipairs({ ${paths.map((path) => JSON.stringify(path)).join(', ')} }) do requests[index] = wrk.format("GET", path) end
end
local at = 0
function request() at = at % #requests + 1 return requests[at] end
`,
  );
  return under(server, script, connections, ms);
}

async function under(server, script, connections, ms) {
  const pids = family(server.child.pid);
  const running = output('wrk', [
    '-t1',
    `-c${connections}`,
    `-d${Math.ceil((ms + 2 * WARM_UP_MS) / 1_000)}s`,
    '--timeout',
    '10s',
    '-s',
    script,
    `http://127.0.0.1:${server.port}`,
  ]);
  await sleep(WARM_UP_MS);
  const before = cpuSeconds(pids);
  const startedAt = performance.now();
  await sleep(ms);
  const cpu = cpuSeconds(pids) - before;
  const wall = (performance.now() - startedAt) / 1_000;
  const memory = residentKiB(pids);
  const text = await running;
  const failed = Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0);
  if (failed > 0) throw new Error(`${server.child.name}: ${failed} requests failed\n${text}`);
  const perSecond = Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1]);
  const socketErrors = /Socket errors: (.*)/.exec(text)?.[1] ?? null;
  return {
    perCpuSecond: (perSecond * wall) / cpu,
    perSecond,
    cpuShare: cpu / wall,
    memory,
    socketErrors,
  };
}

/** Every connection asks for the next part that no answer has shown yet, and waits for it. */
async function blocked(server, box, ms, firstMsn) {
  const script = join(scratch, 'blocked.lua');
  writeFileSync(
    script,
    `local path = "/live/${CHANNEL}/${RENDITION}.m3u8"
local msn, part = "${firstMsn}", "0"
function request() return wrk.format("GET", path .. "?_HLS_msn=" .. msn .. "&_HLS_part=" .. part) end
function response(status, headers, body)
  local next_msn, next_part = body:match("PRELOAD%-HINT:[^\\n]*/(%d+)%.(%d+)%.m4s")
  if next_msn then msn, part = next_msn, next_part end
end
`,
  );
  let pushing = true;
  let pushed = 0;
  const push = (async () => {
    for (let msn = firstMsn; pushing; msn++) {
      for (let part = 0; part < PARTS && pushing; part++) {
        await sleep(BLOCKED_PART_MS);
        await box.part(msn, randomBytes(BLOCKED_PART_BYTES), SEGMENT_S / PARTS, part === PARTS - 1);
        pushed += 1;
      }
    }
  })();
  const startedAt = performance.now();
  const result = await under(server, script, BLOCKED_PLAYERS, ms);
  const due = (BLOCKED_PLAYERS * pushed * 1_000) / (performance.now() - startedAt);
  pushing = false;
  await push;
  return { ...result, pushed, share: result.perSecond / due };
}

export async function run({ binaries, quick }) {
  const runs = quick ? 1 : 3;
  const ms = quick ? 3_000 : 8_000;
  const origin = await startOrigin(binaries);
  for (let msn = 0; msn < SEGMENTS; msn++) {
    for (let part = 0; part < PARTS; part++)
      await origin.box.part(msn, randomBytes(PART_BYTES), SEGMENT_S / PARTS, part === PARTS - 1);
  }
  const get = async (path) =>
    Buffer.from(
      await (
        await fetch(`http://127.0.0.1:${origin.port}${path}`, {
          headers: { 'accept-encoding': 'identity' },
        })
      ).arrayBuffer(),
    );
  const root = `/live/${CHANNEL}`;
  const playlist = `${root}/${RENDITION}.m3u8`;
  const text = (await get(playlist)).toString();
  const parts = [...text.matchAll(/#EXT-X-PART:.*URI="([^"]+)"/g)].map((match) => `${root}/${match[1]}`);
  if (parts.length === 0) throw new Error(`no parts in ${text}`);

  const [port] = await freePorts(1);
  const peer = {
    port,
    child: await startNginx('nginx-files', port, (dir) => {
      return httpBlock(
        dir,
        `server { listen 127.0.0.1:${port}; root ${dir}; open_file_cache max=1000 inactive=60s; add_header Cache-Control "public, max-age=60"; add_header Access-Control-Allow-Origin "*"; }`,
      );
    }),
  };
  const files = join(scratch, `nginx-files-${port}`);
  for (const path of [playlist, ...parts]) {
    const bytes = await get(path);
    if (path !== playlist && bytes.length !== PART_BYTES)
      throw new Error(`${path} has ${bytes.length} bytes`);
    mkdirSync(dirname(join(files, path)), { recursive: true });
    writeFileSync(join(files, path), bytes);
  }

  const cases = [
    {
      name: `parts of ${PART_BYTES / 1024} KiB`,
      paths: parts,
      connections: 64,
    },
    {
      name: `playlist, ${text.length} bytes`,
      paths: [playlist],
      connections: 64,
    },
    {
      name: `playlist, ${text.length} bytes`,
      paths: [playlist],
      connections: 1_000,
    },
  ];
  const results = [];
  for (const { name, paths, connections } of cases) {
    const samples = { nginx: [], 'nodi-origin': [] };
    for (let turn = 0; turn < runs; turn++) {
      samples.nginx.push(await load(peer, paths, connections, ms));
      samples['nodi-origin'].push(await load(origin, paths, connections, ms));
    }
    const pair = Object.fromEntries(
      Object.entries(samples).map(([server, list]) => [server, spread(list.map((one) => one.perCpuSecond))]),
    );
    results.push({
      case: name,
      connections,
      requests_per_cpu_s: pair,
      ratio: pair['nodi-origin'].median / pair.nginx.median,
    });
  }
  const waits = [];
  let msn = SEGMENTS;
  for (let turn = 0; turn < runs; turn++) {
    const one = await blocked(origin, origin.box, ms, msn);
    waits.push(one);
    msn += Math.ceil(one.pushed / PARTS);
  }
  const answers = spread(waits.map((one) => one.perCpuSecond));
  const perSecond = spread(waits.map((one) => one.perSecond));
  const memory = spread(waits.map((one) => one.memory));
  origin.box.close();
  await origin.child.stop();
  await peer.child.stop();
  const share = spread(waits.map((one) => one.share));
  return {
    title: 'Origin',
    how: `wrk over loopback, keep-alive HTTP/1.1, ${ms / 1_000} s, median of ${runs}; one serving thread beside one nginx worker with the same bytes as files (sendfile)`,
    head: ['case', 'connections', 'server', 'requests/CPU-s', 'min', 'max', 'ratio'],
    rows: [
      ...results.flatMap((one) =>
        Object.entries(one.requests_per_cpu_s).map(([server, value]) => [
          one.case,
          one.connections,
          server,
          digits(value.median, 0),
          digits(value.min, 0),
          digits(value.max, 0),
          server === 'nginx' ? '1.00' : digits(one.ratio, 2),
        ]),
      ),
      [
        `blocked players, a part every ${BLOCKED_PART_MS} ms`,
        BLOCKED_PLAYERS,
        'nodi-origin',
        digits(answers.median, 0),
        digits(answers.min, 0),
        digits(answers.max, 0),
        '–',
      ],
    ],
    goals: [
      {
        goal: 'parts, at least 0.8 × nginx',
        value: digits(results[0].ratio, 2),
        met: results[0].ratio >= 0.8,
      },
      {
        goal: 'plain playlists, at least 0.8 × nginx',
        value: `${digits(results[1].ratio, 2)} (64 connections), ${digits(results[2].ratio, 2)} (1,000)`,
        met: results[1].ratio >= 0.8 && results[2].ratio >= 0.8,
      },
      {
        goal: `${BLOCKED_PLAYERS} blocked players get every part`,
        value: `${digits(100 * share.median, 0)} % of what was pushed, ${digits(perSecond.median, 0)} answers/s, ${digits(memory.median / 1024, 0)} MiB resident`,
        met: share.median >= 0.95,
      },
    ],
    data: {
      results,
      blocked: {
        players: BLOCKED_PLAYERS,
        answers_per_cpu_s: answers,
        answers_per_s: perSecond,
        resident_kib: memory,
      },
    },
  };
}
