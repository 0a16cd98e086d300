import { describe, expect, it, vi } from 'vitest';

import { addressOf, channelOf } from '../src/address';
import { delayMs, IDLE_MS, INTERRUPTED_MS } from '../src/backoff';
import { bitrate, frames, resolution, seconds } from '../src/format';
import { playlistNames } from '../src/playback/ladder';
import { parsePreferences } from '../src/preferences';
import { fetchStatus, foresee, parseStatus } from '../src/status';
import { runShortcut, type Actions } from '../src/view/shortcuts';
import { sideOf, Taps } from '../src/view/taps';

describe('addresses', () => {
  it('take the channel from the path', () => {
    expect(channelOf('/watch/nodi')).toBe('nodi');
    expect(channelOf('/watch/room-1/')).toBe('room-1');
    expect(channelOf('/behind/a/prefix/watch/nodi')).toBe('nodi');
  });

  it('refuse what no channel is called', () => {
    for (const path of [
      '/',
      '/watch/',
      '/watch/A',
      '/watch/a%2Fb',
      '/watch/../x',
      `/watch/${'a'.repeat(33)}`,
      '/watch/a/b',
    ]) {
      expect(channelOf(path), path).toBeNull();
    }
  });

  it('are where the origin serves a channel', () => {
    expect(addressOf('nodi').multivariant).toBe('/live/nodi/index.m3u8');
    expect(addressOf('nodi').status).toBe('/live/nodi/status.json');
  });
});

describe('the status', () => {
  it('is read as the origin writes it', () => {
    expect(parseStatus({ channel: 'nodi', state: 'live', started_unix_ms: 5 })).toEqual({
      state: 'live',
      startedUnixMs: 5,
    });
    expect(parseStatus({ channel: 'nodi', state: 'offline', started_unix_ms: null })).toEqual({
      state: 'offline',
      startedUnixMs: null,
    });
  });

  it('is no answer when it is something else', () => {
    for (const body of [null, 1, 'live', {}, { state: 'on fire' }]) {
      expect(parseStatus(body)).toBe('unreachable');
    }
  });
});

describe('the back-off', () => {
  it('grows up to its limit and spreads viewers', () => {
    const delays = [0, 1, 2, 10, 1_000].map((attempt) => delayMs(attempt, IDLE_MS, 0.5));
    expect(delays).toEqual([...delays].sort((a, b) => a - b));
    expect(delays.at(-1)).toBe(IDLE_MS);
    expect(delayMs(50, INTERRUPTED_MS, 0)).toBeLessThan(delayMs(50, INTERRUPTED_MS, 0.99));
  });
});

describe('the readout', () => {
  it('writes numbers for people', () => {
    expect(seconds(1.26)).toBe('1.3 s');
    expect(seconds(-0.2)).toBe('0.0 s');
    expect(seconds(null)).toBe('–');
    expect(bitrate(6_100_000)).toBe('6.1 Mbit/s');
    expect(bitrate(12_300_000)).toBe('12 Mbit/s');
    expect(bitrate(800_000)).toBe('800 kbit/s');
    expect(bitrate(null)).toBe('–');
    expect(resolution(1920, 1080)).toBe('1920×1080');
    expect(resolution(0, 0)).toBe('–');
    expect(frames(1)).toBe('1 frame');
    expect(frames(12)).toBe('12 frames');
  });
});

describe('preferences', () => {
  it('survive what others wrote into the storage', () => {
    const first = { volume: 1, muted: true, choice: 'auto', theatre: false, chat: true };
    for (const text of [null, '', '{', '[]', '3', '{"volume":7,"muted":"no","choice":1,"chat":0}']) {
      expect(parsePreferences(text)).toEqual(first);
    }
    expect(parsePreferences('{"volume":0.4,"muted":false,"choice":"720p","theatre":true}')).toEqual({
      volume: 0.4,
      muted: false,
      choice: '720p',
      theatre: true,
      chat: true,
    });
  });
});

describe('the ladder in a multivariant playlist', () => {
  it('is read by name, audio left out', () => {
    const text = [
      '#EXTM3U',
      '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="audio",URI="audio.m3u8"',
      '#EXT-X-STREAM-INF:BANDWIDTH=6000000,RESOLUTION=1920x1080',
      '1080p.m3u8',
      '#EXT-X-STREAM-INF:BANDWIDTH=800000,RESOLUTION=640x360',
      '360p.m3u8?x=1',
      '',
    ].join('\n');
    expect(playlistNames(text)).toEqual(['1080p', '360p']);
  });
});

describe('the keyboard', () => {
  const calls: string[] = [];
  const actions = new Proxy({} as Actions, {
    get: (_target, name) => (value?: number) =>
      calls.push(value === undefined ? String(name) : `${String(name)} ${value}`),
  });
  const press = (key: string, held: { taken?: boolean; shift?: boolean } = {}): string[] => {
    calls.length = 0;
    runShortcut({ key, shift: held.shift === true, taken: held.taken === true }, actions);
    return [...calls];
  };

  it('does what the help says', () => {
    expect(press(' ')).toEqual(['togglePlay']);
    expect(press('K')).toEqual(['togglePlay']);
    expect(press('m')).toEqual(['toggleMute']);
    expect(press('f')).toEqual(['toggleFullScreen']);
    expect(press('ArrowUp')).toEqual(['changeVolume 0.05']);
    expect(press('ArrowLeft')).toEqual(['seekBy -5']);
    expect(press('ArrowRight', { shift: true })).toEqual(['seekBy 10']);
    expect(press('t')).toEqual(['toggleTheatre']);
    expect(press('i')).toEqual(['toggleFloating']);
    expect(press('c')).toEqual(['toggleChat']);
    expect(press('l')).toEqual(['goLive']);
    expect(press('q')).toEqual(['toggleQuality']);
    expect(press('?')).toEqual(['showHelp']);
    expect(press('x')).toEqual([]);
  });

  it('leaves a control its own keys', () => {
    for (const key of [' ', 'ArrowUp', 'ArrowLeft']) expect(press(key, { taken: true })).toEqual([]);
    expect(press('m', { taken: true })).toEqual(['toggleMute']);
  });
});

describe('fingers', () => {
  it('tap twice when it is in the same place and soon', () => {
    const taps = new Taps();
    expect(taps.isSecond({ x: 50, y: 50, atMs: 0 })).toBe(false);
    expect(taps.isSecond({ x: 60, y: 55, atMs: 200 })).toBe(true);
    // Each further one goes a step further.
    expect(taps.isSecond({ x: 60, y: 55, atMs: 400 })).toBe(true);
    expect(taps.isSecond({ x: 300, y: 55, atMs: 500 })).toBe(false);
    expect(taps.isSecond({ x: 300, y: 55, atMs: 900 })).toBe(false);
  });

  it('mean a third of the picture', () => {
    expect([10, 150, 290].map((x) => sideOf(x, 300))).toEqual(['left', 'middle', 'right']);
  });
});

describe('a status that was foreseen', () => {
  it('is asked for once, and only for the address that it was foreseen for', async () => {
    const asked: string[] = [];
    vi.stubGlobal('fetch', (url: string) => {
      asked.push(url);
      return Promise.resolve(Response.json({ state: 'live', started_unix_ms: asked.length }));
    });
    foresee('/live/a/status.json');
    expect(asked).toHaveLength(1);
    expect(await fetchStatus('/live/a/status.json')).toMatchObject({ startedUnixMs: 1 });
    expect(await fetchStatus('/live/a/status.json')).toMatchObject({ startedUnixMs: 2 });
    foresee('/live/a/status.json');
    expect(await fetchStatus('/live/b/status.json')).toMatchObject({ startedUnixMs: 4 });
    vi.unstubAllGlobals();
  });
});
