// Transcoding: processor seconds per second of media, beside one ffmpeg process with the same encoder settings.

import { mkdirSync, openSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { programmeClip } from './clips.mjs';
import { spread } from './cost.mjs';
import { output, scratch } from './processes.mjs';
import { digits } from './report.mjs';

const LADDER = [
  { name: '1080p', width: 1920, height: 1080, kbits: 6_000 },
  { name: '720p', width: 1280, height: 720, kbits: 3_000 },
  { name: '360p', width: 640, height: 360, kbits: 800 },
];
const SEGMENT_S = 2;
const FPS = 30;
const PRESET = 'veryfast';

/** Runs a program and returns its processor time, user and system, with all its threads and children, in seconds. */
async function timed(program, args, stdin) {
  const times = join(scratch, 'times');
  await output(
    'bash',
    [
      '-c',
      'TIMEFORMAT="%U %S %R"; out=$1; shift; { time "$@" 2>"$out.log"; } 2>"$out"',
      'bash',
      times,
      program,
      ...args,
    ],
    {
      stdio: [stdin, 'pipe', 'pipe'],
    },
  ).catch((error) => {
    throw new Error(`${error.message} ${readFileSync(`${times}.log`, 'utf8').slice(-2_000)}`);
  });
  const [user, system, wall] = readFileSync(times, 'utf8').trim().split(/\s+/).map(Number);
  return { cpu: user + system, wall };
}

/** One ffmpeg: decodes once, encodes each rung as ours does, copies the audio, writes fMP4 HLS. */
async function ffmpeg(clip, passthrough) {
  const dir = join(scratch, 'ffmpeg');
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir);
  const encoded = passthrough ? LADDER.slice(1) : LADDER;
  const labels = encoded.map((_, index) => `[raw${index}]`);
  const scales = encoded.map(
    ({ width, height }, index) =>
      `${labels[index]}${height === 1080 ? 'null' : `scale=${width}:${height}:flags=bilinear`}[out${index}]`,
  );
  const encoders = encoded.flatMap(({ kbits }, index) => [
    ...[
      '-map',
      `[out${index}]`,
      `-c:v:${index}`,
      'libx264',
      `-b:v:${index}`,
      `${kbits}k`,
      `-maxrate:v:${index}`,
      `${kbits}k`,
      `-bufsize:v:${index}`,
      `${kbits}k`,
    ],
    ...[
      `-preset:v:${index}`,
      PRESET,
      `-tune:v:${index}`,
      'zerolatency',
      `-profile:v:${index}`,
      'high',
      `-threads:v:${index}`,
      '1',
    ],
    ...[
      `-g:v:${index}`,
      String(SEGMENT_S * FPS),
      `-keyint_min:v:${index}`,
      String(SEGMENT_S * FPS),
      `-sc_threshold:v:${index}`,
      '0',
      `-bf:v:${index}`,
      '0',
    ],
  ]);
  const copied = passthrough ? ['-map', '0:v', `-c:v:${encoded.length}`, 'copy'] : [];
  const streams = LADDER.map((_, index) => `v:${index}`).join(' ');
  return timed(
    'ffmpeg',
    [
      ...['-nostdin', '-v', 'error', '-i', clip],
      ...['-filter_complex', `[0:v]split=${encoded.length}${labels.join('')};${scales.join(';')}`],
      ...encoders,
      ...copied,
      ...['-map', '0:a', '-c:a', 'copy'],
      ...[
        '-f',
        'hls',
        '-hls_time',
        String(SEGMENT_S),
        '-hls_segment_type',
        'fmp4',
        '-hls_flags',
        'independent_segments',
        '-hls_list_size',
        '0',
      ],
      ...[
        '-var_stream_map',
        `${streams} a:0`,
        '-hls_segment_filename',
        join(dir, '%v-%d.m4s'),
        join(dir, '%v.m3u8'),
      ],
    ],
    'ignore',
  );
}

async function nodi(binaries, clip, passthrough, mediaSeconds) {
  const dir = join(scratch, 'transcode');
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(join(dir, 'spool'), { recursive: true });
  const config = join(dir, 'transcode.toml');
  writeFileSync(
    config,
    `log_level = "warn"
spool = "${dir}/spool"
state = "${scratch}/transcode-state"
backend = "software"
preset = "${PRESET}"
pace = "file"
passthrough = ${passthrough}
cpu_budget = 1.0
min_free_bytes = 0
thumbnail_s = 0
`,
  );
  const result = await timed(join(binaries, 'nodi-transcode'), ['--config', config], openSync(clip, 'r'));
  const lengths = rendered(join(dir, 'spool'));
  const rungs = Object.keys(lengths).filter((name) => name !== 'audio');
  if (rungs.length !== LADDER.length)
    throw new Error(`nodi-transcode made ${Object.keys(lengths).join(', ')}`);
  // Before it passes the source through, the worker watches one group of pictures, which nobody gets.
  const expected = passthrough ? mediaSeconds - SEGMENT_S : mediaSeconds;
  for (const [name, seconds] of Object.entries(lengths)) {
    if (Math.abs(seconds - expected) > 0.2)
      throw new Error(`nodi-transcode: ${name} has ${digits(seconds, 2)} of ${expected} s`);
  }
  return { ...result, seconds: expected };
}

/** Seconds of finished segments by rendition. */
function rendered(spool) {
  const [channel] = readdirSync(spool);
  const [session] = readdirSync(join(spool, channel));
  const renditions = readdirSync(join(spool, channel, session), {
    withFileTypes: true,
  }).filter((entry) => entry.isDirectory());
  return Object.fromEntries(
    renditions.map(({ name }) => {
      const lines = readFileSync(join(spool, channel, session, name, 'index'), 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line));
      return [
        name,
        lines.filter(({ t }) => t === 'segment').reduce((sum, { duration_ns }) => sum + duration_ns / 1e9, 0),
      ];
    }),
  );
}

export async function run({ binaries, quick }) {
  const runs = quick ? 1 : 3;
  const mediaSeconds = quick ? 10 : 20;
  const clip = await programmeClip(mediaSeconds);
  const cases = [
    { name: 'three rungs encoded', passthrough: false },
    { name: 'top rung passed through', passthrough: true },
  ];
  const results = [];
  for (const { name, passthrough } of cases) {
    const peer = [];
    const ours = [];
    for (let turn = 0; turn < runs; turn++) {
      peer.push((await ffmpeg(clip, passthrough)).cpu / mediaSeconds);
      const one = await nodi(binaries, clip, passthrough, mediaSeconds);
      ours.push(one.cpu / one.seconds);
    }
    const pair = { ffmpeg: spread(peer), 'nodi-transcode': spread(ours) };
    results.push({
      case: name,
      cpu_s_per_media_s: pair,
      ratio: pair['nodi-transcode'].median / pair.ffmpeg.median,
    });
  }
  return {
    title: 'Transcode',
    how: `${mediaSeconds} s of 1080p30 to ${LADDER.map(({ name, kbits }) => `${name} ${kbits / 1_000} Mbit/s`).join(', ')}; x264 ${PRESET} zerolatency, one thread per encoder, audio copied; as fast as it goes; median of ${runs}`,
    head: ['case', 'program', 'CPU-s/media-s', 'min', 'max', 'ratio'],
    rows: results.flatMap((one) =>
      Object.entries(one.cpu_s_per_media_s).map(([program, cost]) => [
        one.case,
        program,
        digits(cost.median, 3),
        digits(cost.min, 3),
        digits(cost.max, 3),
        program === 'ffmpeg' ? '1.00' : digits(one.ratio, 2),
      ]),
    ),
    goals: results.map((one) => ({
      goal: `${one.case}, at most 1.0 × ffmpeg`,
      value: digits(one.ratio, 2),
      met: one.ratio <= 1,
    })),
    data: { results },
  };
}
