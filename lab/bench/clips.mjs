// Media for the benches: encoded once, kept in .cache/bench.

import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';

import { output } from './processes.mjs';

const CACHE = '.cache/bench';

async function make(name, args) {
  mkdirSync(CACHE, { recursive: true });
  const path = join(CACHE, name);
  if (!existsSync(path)) {
    const partial = join(CACHE, `partial-${name}`);
    await output('ffmpeg', ['-nostdin', '-v', 'error', '-y', ...args, partial]);
    renameSync(partial, path);
  }
  return path;
}

/** 6 Mbit/s to the bit, 10 s, key frames every 2 s: what an encoder at constant rate sends. */
export function constantRateClip() {
  const rate = ['-b:v', '5872k', '-minrate', '5872k', '-maxrate', '5872k', '-bufsize', '5872k'];
  return make('constant-6m.flv', [
    ...['-f', 'lavfi', '-i', 'testsrc2=size=1280x720:rate=30'],
    ...['-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000'],
    ...[
      '-c:v',
      'libx264',
      '-preset',
      'ultrafast',
      '-tune',
      'zerolatency',
      '-g',
      '60',
      '-keyint_min',
      '60',
      '-sc_threshold',
      '0',
    ],
    ...[
      ...rate,
      '-x264-params',
      'nal-hrd=cbr',
      '-pix_fmt',
      'yuv420p',
      '-c:a',
      'aac',
      '-b:a',
      '128k',
      '-t',
      '10',
      '-f',
      'flv',
    ],
  ]);
}

/** 1080p30 at 6 Mbit/s without B-frames, key frames every 2 s, with detail that moves. */
export function programmeClip(seconds) {
  return make(`programme-1080p30-${seconds}s.flv`, [
    ...['-f', 'lavfi', '-i', `testsrc2=size=1920x1080:rate=30,noise=alls=8:allf=t`],
    ...['-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000'],
    ...[
      '-c:v',
      'libx264',
      '-preset',
      'veryfast',
      '-g',
      '60',
      '-keyint_min',
      '60',
      '-sc_threshold',
      '0',
      '-bf',
      '0',
    ],
    ...[
      '-b:v',
      '6M',
      '-maxrate',
      '6M',
      '-bufsize',
      '6M',
      '-pix_fmt',
      'yuv420p',
      '-c:a',
      'aac',
      '-b:a',
      '128k',
      '-ac',
      '2',
    ],
    ...['-t', String(seconds), '-f', 'flv'],
  ]);
}
