#!/usr/bin/env node
// Plays a watch page in headless Chromium as a viewer would, and says in one JSON object what the viewer saw.
//
//   node play.mjs --url http://127.0.0.1:8080/watch/demo --seconds 20 [--levels] [--dvr] [--screenshot FILE]
//
//   --seconds N      how long to watch, counted from the first frame
//   --wait N         how long to wait for the first frame (60); without one the result has "ok": false
//   --levels         afterwards choose each rung in the quality menu, then Auto again
//   --dvr            afterwards go back 20 s and look for the picture there, pause, drag the bar, come back to live
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
/** How far `--dvr` goes back; a step of the arrow keys goes 5 s. */
const REWIND_S = 20;
/** What the latency after a seek may differ from what was asked for: segments are not cut where one aims. */
const REWIND_TOLERANCE_S = 1.5;
/** How long loading another place may take. */
const REWIND_MS = 10_000;
/** A pause that is long enough for the viewer to be behind afterwards. */
const PAUSE_MS = 3_000;

const options = parseArguments(process.argv.slice(2), {
  url: 'text',
  seconds: 'number',
  wait: 'number',
  levels: 'flag',
  dvr: 'flag',
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

const isAside = (text) => /\/\/[^/ ]+\/(?:site|chat)\//.test(text);
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

/** Whether pictures come, and media time passes about as fast as time does: on a busy machine not quite. */
async function movesAtPace(page) {
  const before = await page.evaluate(() => [performance.now(), document.querySelector('video').currentTime]);
  const frames = await page.evaluate(() => window.__probe.frames.length);
  await sleep(DWELL_MS);
  const after = await page.evaluate(() => [performance.now(), document.querySelector('video').currentTime]);
  const shown = (await page.evaluate(() => window.__probe.frames.length)) - frames;
  const share = ((after[1] - before[1]) * 1_000) / (after[0] - before[0]);
  return shown > 5 && share > 0.5 && share < 1.5;
}

/** Resolves to the seconds that the latency rose by; `aim` is what is waited for. */
async function rose(page, from, aim) {
  const by = async () => ((await read(page)).latency ?? Number.NaN) - from;
  await until(REWIND_MS, async () => Math.abs((await by()) - aim) < REWIND_TOLERANCE_S);
  return Number((await by()).toFixed(2));
}

async function rewind(page) {
  await until(90_000, async () => (await read(page)).rewindable > REWIND_S + 5);
  const before = await read(page);
  const steps = [];
  const step = async (what, ok, facts) => {
    const { state, behind, following, buffered } = await read(page);
    steps.push({ what, ok, ...facts, state, following, behind, buffered });
  };
  const isNear = (value, aim) => Math.abs(value - aim) < REWIND_TOLERANCE_S;
  const back = page.getByRole('button', { name: 'Back to live' });
  const bar = page.getByRole('slider', { name: 'Rewind' });

  await page.mouse.move(210, 210);
  await bar.focus();
  for (let gone = 0; gone < REWIND_S; gone += 5) await page.keyboard.press('ArrowLeft');
  const keyed = await rose(page, before.latency, REWIND_S);
  await step('20 s back with the keyboard', isNear(keyed, REWIND_S) && (await movesAtPace(page)), {
    latency_rose_s: keyed,
    said: await bar.getAttribute('aria-valuetext'),
    label: await page.locator('.behind').textContent(),
    moving: await movesAtPace(page),
  });

  await page.evaluate(() => document.querySelector('video').pause());
  await sleep(PAUSE_MS);
  const paused = await read(page);
  await page.evaluate(() => document.querySelector('video').play());
  const resumed = await rose(page, before.latency, REWIND_S + PAUSE_MS / 1_000);
  await step(
    'paused and went on',
    paused.state === 'paused' && isNear(resumed, REWIND_S + PAUSE_MS / 1_000),
    {
      latency_rose_s: resumed,
      moving: await movesAtPace(page),
    },
  );

  await page.mouse.move(220, 220);
  const box = await bar.boundingBox();
  const [right, middle] = [box.x + box.width, box.y + box.height / 2];
  const length = (await read(page)).rewindable;
  await page.mouse.move(right - 2, middle);
  await page.mouse.down();
  await page.mouse.move(right - (box.width * 10) / length, middle, { steps: 5 });
  const tip = await page.locator('.dvr-tip').textContent();
  await page.mouse.up();
  const dragged = await rose(page, before.latency, 10);
  await step('dragged to 10 s', isNear(dragged, 10) && /^-0:(09|1[01])$/.test(tip), {
    latency_rose_s: dragged,
    tip,
    moving: await movesAtPace(page),
  });

  await bar.focus();
  await page.keyboard.press('Home');
  const oldest = await rose(page, before.latency, length);
  await step('to the oldest', isNear(oldest, length) || oldest > length, {
    latency_rose_s: oldest,
    moving: await movesAtPace(page),
  });

  await page.mouse.move(230, 230);
  await back.click();
  const live = await rose(page, before.latency, 0);
  await step('back to live', isNear(live, 0) && (await read(page)).following && !(await back.isVisible()), {
    latency_rose_s: live,
    moving: await movesAtPace(page),
  });
  return { rewindable_s: before.rewindable, steps, ok: steps.every((one) => one.ok && one.moving !== false) };
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
/** What the browser says of the site's server and of the chat, which playback does not depend on. */
const aside = [];
let result;
try {
  const { page } = browser;
  page.on('pageerror', (error) => errors.push(`page: ${error.message}`));
  page.on('console', (message) => {
    if (message.type() !== 'error') return;
    const { url } = message.location();
    (isAside(url) || isAside(message.text()) ? aside : errors).push(
      `console: ${message.text()} ${url}`.trim(),
    );
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
  const firstPicture = await page.evaluate(() => {
    const wall = window.__probe.frames[0]?.[0];
    return wall === undefined ? null : Math.round(wall - performance.timeOrigin);
  });
  const walls = frames.map(([wall]) => wall);
  const now = await page.evaluate(() => performance.timeOrigin + performance.now());
  const pauses = gaps(walls);
  const clocked = frames.map(([, , , , latency]) => latency).filter((latency) => latency !== null);
  result = {
    url: options.url,
    ok: picture ? seen : true,
    engine: end.engine,
    first_frame_ms: end.firstFrameMs === null ? null : Math.round(end.firstFrameMs),
    /** The same from the start of the navigation, so with what loading the page took. */
    first_picture_ms: firstPicture,
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
  if (options.dvr && seen) {
    result.dvr = await rewind(page);
    result.ok = result.ok && result.dvr.ok;
  }
  result.notes = (await read(page)).notes;
  result.errors = errors;
  result.aside = [...new Set(aside)];
  if (options.screenshot !== undefined) {
    await page.mouse.move(320 + Math.random() * 50, 240); // Shows the controls.
    await page.screenshot({ path: options.screenshot });
  }
} finally {
  await browser.close();
}
console.log(JSON.stringify(result, null, options.json ? undefined : 2));
process.exitCode = result.ok ? 0 : 1;
