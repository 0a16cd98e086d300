#!/usr/bin/env node
// Reads every playlist with hls-parser in strict mode, which refuses what RFC 8216bis forbids.
//
//   node strict-playlists.mjs DIR           all *.m3u8 under DIR, as recorded during a run
//   node strict-playlists.mjs URL [SECONDS] a multivariant playlist: it and each media playlist, again and again
//
// One JSON object on stdout; exit status 1 if any playlist was refused or there was none.

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

import HLS from 'hls-parser';

HLS.setOptions({ strictMode: true, silent: true });

/** More than this many refusals say nothing new. */
const MOST_REFUSALS = 20;
/** Longest that an answer may take: a blocking reload takes up to three target durations. */
const TIMEOUT_MS = 15_000;

const refusals = [];
let playlists = 0;
const kinds = { multivariant: 0, media: 0, delta: 0, parts: 0 };

/** Returns the parsed playlist, or `null` when it was refused. */
function check(name, text) {
  playlists += 1;
  try {
    const playlist = HLS.parse(text);
    if (playlist.isMasterPlaylist) kinds.multivariant += 1;
    else kinds.media += 1;
    if (text.includes('#EXT-X-SKIP:')) kinds.delta += 1;
    if (text.includes('#EXT-X-PART:')) kinds.parts += 1;
    return playlist;
  } catch (error) {
    if (refusals.length < MOST_REFUSALS) refusals.push({ name, error: error.message, text });
    return null;
  }
}

function* filesUnder(directory) {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) yield* filesUnder(path);
    else if (entry.name.includes('.m3u8')) yield path;
  }
}

async function get(url) {
  const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!response.ok) throw new Error(`${url}: HTTP ${response.status}`);
  return response.text();
}

/** Follows one media playlist as a low-latency player does: blocking reloads, every other one a delta update. */
async function follow(url, deadline) {
  let next = new URL(url);
  for (let turn = 0; Date.now() < deadline; turn++) {
    const text = await get(next);
    const playlist = check(next.href, text);
    if (playlist === null || playlist.endlist) return;
    const control = /#EXT-X-SERVER-CONTROL:(.*)/.exec(text)?.[1] ?? '';
    if (!control.includes('CAN-BLOCK-RELOAD=YES')) {
      await new Promise((resolve) => setTimeout(resolve, playlist.targetDuration * 500));
      continue;
    }
    next = new URL(url);
    const hint = /#EXT-X-PRELOAD-HINT:.*URI="[^"]*?(\d+)\.(\d+)\.m4s"/.exec(text);
    if (hint === null) {
      const last = /#EXT-X-MEDIA-SEQUENCE:(\d+)/.exec(text)?.[1] ?? '0';
      next.searchParams.set('_HLS_msn', String(Number(last) + (text.match(/#EXTINF:/g)?.length ?? 0)));
    } else {
      next.searchParams.set('_HLS_msn', hint[1]);
      next.searchParams.set('_HLS_part', hint[2]);
    }
    if (turn % 2 === 1 && control.includes('CAN-SKIP-UNTIL')) next.searchParams.set('_HLS_skip', 'YES');
  }
}

const [target, seconds = '10'] = process.argv.slice(2);
if (target === undefined) throw new Error('a directory or a URL is needed');
if (/^https?:/.test(target)) {
  const text = await get(target);
  const multivariant = check(target, text);
  if (multivariant !== null) {
    const uris = new Set([
      ...multivariant.variants.map((variant) => variant.uri),
      ...[...text.matchAll(/^#EXT-X-MEDIA:.*URI="([^"]+)"/gm)].map((match) => match[1]),
    ]);
    const deadline = Date.now() + Number(seconds) * 1_000;
    await Promise.all([...uris].map((uri) => follow(new URL(uri, target).href, deadline)));
  }
} else if (statSync(target).isDirectory()) {
  for (const path of filesUnder(target)) check(path, readFileSync(path, 'utf8'));
} else {
  check(target, readFileSync(target, 'utf8'));
}
const ok = playlists > 0 && refusals.length === 0;
console.log(JSON.stringify({ ok, playlists, ...kinds, refusals }));
process.exitCode = ok ? 0 : 1;
