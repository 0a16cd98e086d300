#!/usr/bin/env node
// Plays a watch page in headless Chromium as a viewer would, and says in one JSON object what the viewer saw.
//
//   node play.mjs --url http://127.0.0.1:8080/watch/demo --seconds 20 [--levels] [--screenshot FILE]
//
//   --seconds N      how long to watch, counted from the first frame
//   --wait N         how long to wait for the first frame (60); without one the result has "ok": false
//   --levels         afterwards choose each rung in the quality menu, then Auto again
//   --no-picture     do not wait for a picture: watch what the page says for --seconds
//   --screenshot F   a picture of the page at the end (PNG); with --phone on a phone's screen
//   --clock          read the clock that `clock-picture` burns into the picture: "glass_latency_ms"
//   --warm-up N      seconds after the first frame that do not count for latency, stalls and freezes (0)
//   --native         the browser's own HLS instead of hls.js
//   --json           one line; without it the same, indented
//
// SIGTERM and SIGINT end the watching early; the result is printed all the same.

import { openBrowser } from './browser.mjs';
import { parseArguments } from './arguments.mjs';
import { CLOCK, probe, quantile } from './probe.mjs';

/** A viewer calls a picture that stands still for this long frozen. */
const FREEZE_MS = 500;
/** A change of quality that takes longer than this did not work. */
const SWITCH_MS = 15_000;
/** How long each rung is watched after a change. */
const DWELL_MS = 2_500;
/** Looking costs the machine that plays: often enough for a person. */
const POLL_MS = 250;

const options = parseArguments(process.argv.slice(2), {
  url: 'text',
  seconds: 'number',
  wait: 'number',
  levels: 'flag',
  'no-picture': 'flag',
  screenshot: 'text',
  phone: 'flag',
  clock: 'flag',
  'warm-up': 'number',
  native: 'flag',
  json: 'flag',
});
if (options.url === undefined) throw new Error('--url is needed');

let stopped = false;
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => (stopped = true));

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Resolves to whether `condition` came true in time. */
async function until(ms, condition) {
  const deadline = Date.now() + ms;
  while (Date.now() < deadline && !stopped) {
    if (await condition()) return true;
    await sleep(POLL_MS);
  }
  return condition();
}

const read = (page) => page.evaluate(() => window.__nodi);

async function switchTo(page, choice) {
  const before = await read(page);
  const framesBefore = await page.evaluate(() => window.__probe.frames.length);
  const button = page.getByRole('button', { name: /^Quality/ });
  await page.mouse.move(200 + Math.random() * 50, 200);
  await button.click();
  await page.locator(`.menu [data-choice="${choice}"]`).click();
  const startedAt = Date.now();
  const height = await page.evaluate(() => window.__nodi.height);
  const arrived =
    choice === 'auto'
      ? await until(SWITCH_MS, async () => (await read(page)).chosen === 'auto')
      : await until(SWITCH_MS, async () => {
          const now = await read(page);
          // The picture, not only the player's word: the decoded size is what is on the screen.
          return (
            now.level === choice &&
            (now.height !== height || now.height === before.height) &&
            (await sizeMatches(page, choice))
          );
        });
  const afterMs = Date.now() - startedAt;
  await sleep(DWELL_MS);
  const now = await read(page);
  const frames = await page.evaluate(
    (from) => window.__probe.frames.slice(from).map(([wall]) => wall),
    framesBefore,
  );
  return {
    choice,
    ok: arrived,
    after_ms: afterMs,
    width: now.width,
    height: now.height,
    stalls: now.stalls - before.stalls,
    longest_gap_ms: Math.round(gaps(frames).reduce((a, b) => Math.max(a, b), 0)),
  };
}

/** A rung called `720p` is 720 lines high; any other name is believed. */
async function sizeMatches(page, choice) {
  const lines = /^(\d+)p/.exec(choice)?.[1];
  return lines === undefined || (await read(page)).height === Number(lines);
}

function gaps(times) {
  return times.slice(1).map((time, index) => time - times[index]);
}

function summary(values) {
  if (values.length === 0) return null;
  return {
    n: values.length,
    p50: quantile(values, 0.5),
    p95: quantile(values, 0.95),
    min: quantile(values, 0),
    max: quantile(values, 1),
  };
}

const browser = await openBrowser({ phone: options.phone === true });
const errors = [];
let result;
try {
  const { page } = browser;
  page.on('pageerror', (error) => errors.push(`page: ${error.message}`));
  page.on('console', (message) => {
    if (message.type() === 'error')
      errors.push(`console: ${message.text()} ${message.location().url}`.trim());
  });
  await page.addInitScript(probe, { clock: options.clock ? CLOCK : null });
  const url = new URL(options.url);
  if (options.native) url.searchParams.set('native', '');
  await page.goto(url.href, { waitUntil: 'domcontentloaded' });
  await until(10_000, () => page.evaluate(() => window.__nodi !== undefined));

  const picture = !options['no-picture'];
  const seen =
    picture &&
    (await until((options.wait ?? 60) * 1_000, () =>
      page.evaluate(() => window.__nodi.firstFrameMs !== null),
    ));
  const warmUpMs = (options['warm-up'] ?? 0) * 1_000;
  if (seen && warmUpMs > 0) await until(warmUpMs, () => false);
  const counted = await page.evaluate(() => ({
    frame: window.__probe.frames.length,
    stalls: window.__nodi.stalls,
    dropped: window.__nodi.dropped,
    decoded: window.__nodi.decoded,
    unreadable: window.__probe.unreadable(),
  }));
  const latencies = [];
  if (seen || !picture) {
    await until((options.seconds ?? 10) * 1_000, async () => {
      const { latency, state } = await read(page);
      if (latency !== null && state === 'live') latencies.push(latency);
      return false;
    });
  }
  const end = await read(page);
  const { frames, states, unreadable } = await page.evaluate(
    (from) => ({
      frames: window.__probe.frames.slice(from),
      states: window.__probe.states,
      unreadable: window.__probe.unreadable(),
    }),
    counted.frame,
  );
  const walls = frames.map(([wall]) => wall);
  const now = await page.evaluate(() => performance.timeOrigin + performance.now());
  const pauses = gaps(walls);
  const clocked = frames.map(([, , , , latency]) => latency).filter((latency) => latency !== null);
  result = {
    url: options.url,
    ok: picture ? seen : true,
    engine: end.engine,
    first_frame_ms: end.firstFrameMs === null ? null : Math.round(end.firstFrameMs),
    frames: frames.length,
    decoded: end.decoded - counted.decoded,
    dropped: end.dropped - counted.dropped,
    stalls: end.stalls - counted.stalls,
    freezes: pauses.filter((gap) => gap > FREEZE_MS).length,
    longest_freeze_ms: Math.round(pauses.reduce((a, b) => Math.max(a, b), 0)),
    /** The picture moved until the end. */
    moving_at_end: walls.length > 0 && now - walls.at(-1) < FREEZE_MS,
    latency_s: summary(latencies),
    target_latency_s: end.targetLatency,
    ...(options.clock
      ? { glass_latency_ms: summary(clocked), unreadable_clocks: unreadable - counted.unreadable }
      : {}),
    sizes: [...new Set(frames.map(([, , width, height]) => `${width}x${height}`))],
    levels: end.levels,
    states: states.map(([at_ms, state]) => ({ at_ms, state })),
    state: end.state,
    reopened: end.reopened,
  };
  if (options.levels && seen) {
    result.switches = [];
    for (const choice of [...end.levels, 'auto']) {
      if (!stopped) result.switches.push(await switchTo(page, choice));
    }
    result.ok = result.switches.every((one) => one.ok && one.stalls === 0);
  }
  result.notes = (await read(page)).notes;
  result.errors = errors;
  if (options.screenshot !== undefined) {
    await page.mouse.move(320 + Math.random() * 50, 240); // Shows the controls.
    await page.screenshot({ path: options.screenshot });
  }
} finally {
  await browser.close();
}
console.log(JSON.stringify(result, null, options.json ? undefined : 2));
process.exitCode = result.ok ? 0 : 1;
