import { describe, expect, it } from 'vitest';

import type { DesiredView, Settings } from '../src/api/types';
import { resultLines } from '../src/commands/words';
import { eventWords } from '../src/pages/box/events';
import { compare } from '../src/settings/compare';
import { draftOf, read } from '../src/settings/draft';
import { changed, show } from '../src/settings/words';

const FULL: Settings = {
  log_level: 'debug',
  ladder: [
    { name: '1080p', height: 1080, bitrate: 6_000_000 },
    { name: '480p', height: 480, bitrate: 1_250_000 },
  ],
  part_ms: 400,
  limits: { connections: 8, bitrate_bps: 12_500_000 },
  origins: [{ name: 'main', url: 'https://origin.example:8443' }],
  stream_keys: ['AAAA'],
  telemetry_s: 5,
  maintenance: [{ days: ['mon', 'sun'], start_minute: 150, minutes: 90 }],
  drain: true,
};

describe('a draft', () => {
  it('means what it was made from', () => {
    expect(read(draftOf(FULL, {}))).toEqual({ settings: FULL, problems: {} });
    expect(read(draftOf({}, FULL))).toEqual({ settings: {}, problems: {} });
    expect(read(draftOf({}, {}))).toEqual({ settings: {}, problems: {} });
  });

  it('starts from what holds, when something is set anew', () => {
    const draft = draftOf({}, FULL);
    draft.set.ladder = true;
    draft.set.limits = true;
    expect(read(draft).settings).toEqual({ ladder: FULL.ladder, limits: FULL.limits });
  });

  it('says which field is wrong', () => {
    const draft = draftOf(FULL, {});
    draft.telemetry_s = '0';
    draft.part_ms = 'soon';
    draft.limits.connections = '1.5';
    draft.limits.bitrate_bps = '-1';
    draft.ladder[1] = { name: '1080p', height: '9000', bitrate: '' };
    draft.origins = [
      { name: '', url: 'http://origin.example' },
      { name: 'b', url: 'https://origin.example/path' },
    ];
    draft.maintenance = [{ days: [], start: '25:00', hours: '0.1' }];
    expect(Object.keys(read(draft).problems).sort()).toEqual([
      'ladder.1.bitrate',
      'ladder.1.height',
      'ladder.1.name',
      'limits.bitrate_bps',
      'limits.connections',
      'maintenance.0.hours',
      'maintenance.0.start',
      'origins.0.name',
      'origins.0.url',
      'origins.1.url',
      'part_ms',
      'telemetry_s',
    ]);
    draft.ladder = [];
    expect(read(draft).problems['ladder']).toBeDefined();
  });
});

describe('settings', () => {
  it('are compared by what they say', () => {
    expect(changed(FULL, structuredClone(FULL))).toEqual([]);
    expect(changed({}, { drain: false })).toEqual(['drain']);
    expect(changed(FULL, { ...FULL, limits: { connections: 9 } })).toEqual(['limits']);
  });

  it('read as lines', () => {
    expect(show('ladder', FULL.ladder)).toEqual([
      '1080p: 1080 lines, 6 Mbit/s',
      '480p: 480 lines, 1.25 Mbit/s',
    ]);
    expect(show('limits', FULL.limits)).toEqual(['Connections: 8', 'Bitrate: 12.5 Mbit/s']);
    expect(show('drain', undefined)).toEqual(['as the box is configured']);
  });

  it('stand beside what the box reports', () => {
    const view: DesiredView = {
      own: { limits: { connections: 2 } },
      fleet: { telemetry_s: 10, limits: { bitrate_bps: 9e6 } },
      effective: { telemetry_s: 10, limits: { connections: 2, bitrate_bps: 9e6 }, stream_keys: ['AAAA'] },
      version: 3,
      reported: null,
      differences: [
        { setting: 'telemetry_s', desired: 10, reported: 5, standing: 'waiting' },
        { setting: 'limits.bitrate_bps', desired: 9e6, reported: null, standing: 'waiting' },
        { setting: 'limits.connections', desired: 2, reported: 2, standing: 'applied' },
        { setting: 'stream_keys', desired: ['AAAA'], reported: null, standing: 'waiting' },
        { setting: 'part_ms', desired: null, reported: 500, standing: 'applied' },
        { setting: 'of_tomorrow', desired: { a: 1 }, reported: null, standing: 'waiting' },
      ],
    };
    expect(
      compare(view).map(({ label, source, desired, reported }) => [label, source, desired[0], reported[0]]),
    ).toEqual([
      ['Part length', 'own configuration', 'as the box is configured', '500 ms'],
      ['Limit: connections', 'box', '2', '2'],
      ['Limit: bitrate', 'fleet', '9 Mbit/s', undefined],
      ['Telemetry interval', 'fleet', 'every 10 s', 'every 5 s'],
      ['Stream key signers', 'server', 'AAAA…', undefined],
      ['of_tomorrow', 'own configuration', '{"a":1}', undefined],
    ]);
  });
});

describe('what a box says', () => {
  it('reads as a sentence, also of a newer box', () => {
    const at = { at_ms: 0, received_ms: 0 };
    expect(eventWords({ ...at, kind: 'clock_stepped', by_ms: -3_600_000 })).toMatchObject({
      title: 'The clock was set back',
      detail: 'By 1 h 00 min',
    });
    expect(eventWords({ ...at, kind: 'tea_made', cups: 2 })).toMatchObject({
      title: 'Tea made',
      detail: 'cups: 2',
    });
  });

  it('has measurements as lines', () => {
    expect(
      resultLines({
        bits_per_s: 91_400_000,
        ok: true,
        encoder: { fps: 29.97 },
        bytes: 2048,
        rungs: ['a', 'b'],
      }),
    ).toEqual([
      ['Bits per s', '91.4 Mbit/s'],
      ['Ok', 'yes'],
      ['Encoder, fps', '29.97'],
      ['Bytes', '2.0 KiB'],
      ['Rungs', 'a, b'],
    ]);
    expect(resultLines(null)).toEqual([]);
  });
});
