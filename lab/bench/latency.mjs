// Latency from glass to glass: the wall clock that is burnt in before the encoder, read from the pixels that
// Chromium shows. Every candidate has the same publisher, the same page and nginx in front.

import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { spread } from './cost.mjs';
import { httpBlock, startNginx } from './nginx.mjs';
import { Child, freePorts, output, scratch, sleep } from './processes.mjs';
import { digits } from './report.mjs';

const PAGE = 'fleet-manager/web/dist';
const PLAY = 'fleet-manager/web/test/play.mjs';
const CHANNEL = 'clock';

/** 720p30 as OBS sends it with its fastest settings; `gop` in frames, `sink` what ffmpeg writes to. */
function publisher(binaries, gop, sink) {
  const tone = join(scratch, `tone-${Date.now()}`);
  execFileSync('mkfifo', [tone]);
  const words = [
    ...[
      '-nostdin',
      '-v',
      'error',
      '-fflags',
      'nobuffer',
      '-f',
      'rawvideo',
      '-pix_fmt',
      'yuv420p',
      '-video_size',
      '1280x720',
      '-framerate',
      '30',
      '-i',
      'pipe:0',
    ],
    ...['-f', 's16le', '-ar', '48000', '-ac', '1', '-i', tone],
    ...[
      '-map',
      '0:v',
      '-map',
      '1:a',
      '-c:v',
      'libx264',
      '-preset',
      'ultrafast',
      '-tune',
      'zerolatency',
      '-g',
      String(gop),
      '-keyint_min',
      String(gop),
      '-sc_threshold',
      '0',
    ],
    ...[
      '-b:v',
      '3M',
      '-maxrate',
      '3M',
      '-bufsize',
      '3M',
      '-c:a',
      'aac',
      '-b:a',
      '128k',
      '-ac',
      '2',
      '-flush_packets',
      '1',
      ...sink,
    ],
  ];
  // ffmpeg is the process itself; the clock ends when nobody reads it.
  return new Child('publisher', 'bash', [
    '-c',
    'clock=$1; tone=$2; shift 2; exec ffmpeg "$@" < <(exec "$clock" --audio "$tone")',
    'bash',
    join(binaries, 'clock-picture'),
    tone,
    ...words,
  ]);
}

async function nodi(binaries, partMs) {
  const lab = new Child('nodi-lab', join(binaries, 'nodi-lab'), [
    'up',
    '--no-fleet',
    '--json',
    '--channel',
    CHANNEL,
    '--edge',
    'nginx',
    '--part-ms',
    String(partMs),
  ]);
  const links = JSON.parse(await lab.line(60_000));
  const stream = publisher(binaries, 60, ['-f', 'flv', `${links.rtmp_url}/${links.stream_key}`]);
  return {
    url: links.watch_url,
    stop: async () => {
      await stream.stop();
      await lab.stop();
    },
  };
}

/** The watch page, and `live` out of a directory that something else writes to. */
async function pageServer(name, body = () => '') {
  const [port, rtmpPort] = await freePorts(2);
  const root = join(scratch, `${name}-page-${port}`);
  mkdirSync(join(root, 'live', CHANNEL), { recursive: true });
  cpSync(PAGE, root, { recursive: true });
  const child = await startNginx(
    name,
    port,
    (dir) =>
      `${httpBlock(
        dir,
        `server {
      listen 127.0.0.1:${port};
      root ${root};
      add_header Cache-Control no-cache;
      location /watch/ { try_files /index.html =404; }
      location = /live/${CHANNEL}/status.json { default_type application/json; return 200 '{"channel":"${CHANNEL}","state":"live","started_unix_ms":null}'; }
    }`,
      )}\n${body(rtmpPort, root)}`,
    { rtmp: true },
  );
  return {
    child,
    rtmpPort,
    root,
    url: `http://127.0.0.1:${port}/watch/${CHANNEL}`,
  };
}

async function nginxRtmp(binaries) {
  const server = await pageServer(
    'nginx-rtmp',
    (port, root) => `rtmp { server { listen 127.0.0.1:${port}; chunk_size 4096; application live {
    live on; hls on; hls_path ${root}/live; hls_nested on; hls_fragment 2s; hls_playlist_length 12s; } } }`,
  );
  const stream = publisher(binaries, 60, [
    '-f',
    'flv',
    `rtmp://127.0.0.1:${server.rtmpPort}/live/${CHANNEL}`,
  ]);
  return {
    url: server.url,
    stop: async () => {
      await stream.stop();
      await server.child.stop();
    },
  };
}

async function ffmpegHls(binaries) {
  const server = await pageServer('ffmpeg-hls');
  const stream = publisher(binaries, 30, [
    ...[
      '-f',
      'hls',
      '-hls_time',
      '1',
      '-hls_segment_type',
      'fmp4',
      '-hls_list_size',
      '8',
      '-hls_flags',
      'delete_segments+independent_segments',
    ],
    join(server.root, 'live', CHANNEL, 'index.m3u8'),
  ]);
  return {
    url: server.url,
    stop: async () => {
      await stream.stop();
      await server.child.stop();
    },
  };
}

const candidates = [
  {
    name: 'Nodi, parts of 333 ms',
    key: 'nodi_333',
    start: (binaries) => nodi(binaries, 333),
  },
  {
    name: 'Nodi, parts of 200 ms',
    key: 'nodi_200',
    start: (binaries) => nodi(binaries, 200),
  },
  { name: 'ffmpeg fMP4 HLS, segments of 1 s', key: 'ffmpeg', start: ffmpegHls },
  { name: 'nginx-rtmp HLS, fragments of 2 s', key: 'nginx', start: nginxRtmp },
];

async function watch({ start }, binaries, seconds, warmUp) {
  const candidate = await start(binaries);
  try {
    await sleep(6_000); // Every candidate has a playlist by then.
    const text = await output('node', [
      resolve(PLAY),
      '--url',
      candidate.url,
      '--clock',
      '--seconds',
      String(seconds),
      '--warm-up',
      String(warmUp),
      '--wait',
      '60',
      '--json',
    ]);
    return JSON.parse(text);
  } finally {
    await candidate.stop();
  }
}

export async function run({ binaries, quick }) {
  const runs = quick ? 1 : 3;
  const seconds = quick ? 15 : 60;
  const warmUp = quick ? 10 : 15;
  const samples = candidates.map(() => []);
  for (let turn = 0; turn < runs; turn++) {
    for (const [index, candidate] of candidates.entries()) {
      const seen = await watch(candidate, binaries, seconds, warmUp);
      if (seen.glass_latency_ms === null)
        throw new Error(`${candidate.name}: no clock could be read: ${JSON.stringify(seen)}`);
      samples[index].push(seen);
    }
  }
  const results = candidates.map(({ name, key }, index) => ({
    name,
    key,
    p50_ms: spread(samples[index].map((seen) => seen.glass_latency_ms.p50)),
    p95_ms: spread(samples[index].map((seen) => seen.glass_latency_ms.p95)),
    max_ms: spread(samples[index].map((seen) => seen.glass_latency_ms.max)),
    stalls: samples[index].map((seen) => seen.stalls),
    longest_freeze_ms: samples[index].map((seen) => seen.longest_freeze_ms),
    dropped: samples[index].map((seen) => seen.dropped),
    frames: samples[index].map((seen) => seen.frames),
    sizes: [...new Set(samples[index].flatMap((seen) => seen.sizes))],
    unreadable: samples[index].map((seen) => seen.unreadable_clocks),
  }));
  const find = (key) => results.find((one) => one.key === key);
  const goal = (key, text, p50, p95) => {
    const one = find(key);
    const stalls = one.stalls.reduce((sum, count) => sum + count, 0);
    return {
      goal: text,
      value: `p50 ${digits(one.p50_ms.median, 0)} ms, p95 ${digits(one.p95_ms.median, 0)} ms, ${stalls} stalls in ${runs * seconds} s`,
      met: one.p50_ms.median <= p50 && one.p95_ms.median <= p95 && stalls === 0,
    };
  };
  return {
    title: 'Latency, glass to glass',
    how: `720p30 encoded live (x264 ultrafast), ${seconds} s after ${warmUp} s of warm-up, headless Chromium, the same page and nginx in front of each; median of ${runs}`,
    head: [
      'what',
      'p50 ms',
      'min',
      'max',
      'p95 ms',
      'worst ms',
      'stalls',
      'longest gap ms',
      'frames',
      'dropped',
    ],
    rows: results.map((one) => [
      one.name,
      digits(one.p50_ms.median, 0),
      digits(one.p50_ms.min, 0),
      digits(one.p50_ms.max, 0),
      digits(one.p95_ms.median, 0),
      digits(one.max_ms.max, 0),
      one.stalls.join(' '),
      Math.max(...one.longest_freeze_ms),
      one.frames.join(' '),
      one.dropped.join(' '),
    ]),
    goals: [
      goal('nodi_333', 'parts of 333 ms: p50 at most 1.5 s, p95 at most 1.8 s, no stall', 1_500, 1_800),
      goal('nodi_200', 'parts of 200 ms: p50 at most 1.1 s, no stall', 1_100, Infinity),
    ],
    data: { results },
  };
}
