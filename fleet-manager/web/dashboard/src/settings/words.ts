// The settings in words: what they are called, what they do and when, and how their values read.

import type { Settings } from '../api/types';
import { count } from '../format/units';
import { bothClocks } from './windows';

export type Key = keyof Settings;

export interface Words {
  readonly label: string;
  /** What it does, and when it takes effect. */
  readonly hint: string;
}

export const SETTINGS: Readonly<Record<Key, Words>> = {
  drain: { label: 'Drain', hint: 'Takes no new stream; live ones go on. At once.' },
  ladder: { label: 'Ladder', hint: 'What is encoded, best first. From the next stream on.' },
  part_ms: { label: 'Part length', hint: 'Length of an HLS part. From the next stream on.' },
  limits: { label: 'Limits', hint: 'What a streamer may send. At once: a live stream that breaks one ends.' },
  origins: { label: 'Origins', hint: 'Where the box pushes to. Within seconds; live streams go on.' },
  maintenance: {
    label: 'Maintenance windows',
    hint: 'When a box may reboot for an update by itself. At once.',
  },
  log_level: { label: 'Log level', hint: 'Of all processes of the box. At once.' },
  telemetry_s: { label: 'Telemetry interval', hint: 'Seconds between two measurements. At once.' },
  stream_keys: {
    label: 'Stream key signers',
    hint: 'The fleet’s public keys, kept up to date by the server.',
  },
};

/** What having no window means. */
export const ANY_TIME = 'at any time at which nothing is live';

/** In the order in which people look for them. */
export const KEYS = Object.keys(SETTINGS) as readonly Key[];

export const LIMITS = {
  connections: { label: 'Connections', unit: '' },
  connections_per_address: { label: 'Connections per address', unit: '' },
  bitrate_bps: { label: 'Bitrate', unit: 'Mbit/s' },
  pixels_per_s: { label: 'Pixels per second', unit: 'million' },
} as const;
export type Limit = keyof typeof LIMITS;
export const LIMIT_KEYS = Object.keys(LIMITS) as readonly Limit[];

/** Lines, since a ladder has several. */
export function show(key: Key, value: Settings[Key]): readonly string[] {
  if (value === undefined) return ['as the box is configured'];
  switch (key) {
    case 'drain':
      return [value === true ? 'Yes' : 'No'];
    case 'part_ms':
      return [`${String(value)} ms`];
    case 'telemetry_s':
      return [`every ${String(value)} s`];
    case 'log_level':
      return [String(value)];
    case 'ladder':
      return (value as NonNullable<Settings['ladder']>).map(
        (rung) => `${rung.name}: ${rung.height} lines, ${rate(rung.bitrate)}`,
      );
    case 'origins':
      return (value as NonNullable<Settings['origins']>).map((origin) => `${origin.name}: ${origin.url}`);
    case 'maintenance': {
      const windows = value as NonNullable<Settings['maintenance']>;
      return windows.length === 0 ? [ANY_TIME] : windows.map((window) => bothClocks(window));
    }
    case 'stream_keys': {
      const keys = value as NonNullable<Settings['stream_keys']>;
      return keys.map((signer) => `${signer.slice(0, 12)}…`);
    }
    case 'limits': {
      const limits = value as NonNullable<Settings['limits']>;
      const lines = LIMIT_KEYS.filter((limit) => limits[limit] !== undefined).map(
        (limit) => `${LIMITS[limit].label}: ${showLimit(limit, limits[limit] ?? 0)}`,
      );
      return lines.length === 0 ? ['none'] : lines;
    }
  }
}

/** To the last digit: what was set, and not about what was set. */
function rate(bitsPerSecond: number): string {
  const [value, unit] =
    bitsPerSecond >= 1e6 ? [bitsPerSecond / 1e6, 'Mbit/s'] : [bitsPerSecond / 1e3, 'kbit/s'];
  return `${value.toLocaleString('en-GB', { maximumFractionDigits: 6 })} ${unit}`;
}

export function showLimit(limit: Limit, value: number): string {
  if (limit === 'bitrate_bps') return rate(value);
  if (limit === 'pixels_per_s') return `${(value / 1e6).toLocaleString('en-GB')} million`;
  return count(value);
}

export function same(one: unknown, other: unknown): boolean {
  if (one === other) return true;
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return false;
  const a = one as Record<string, unknown>;
  const b = other as Record<string, unknown>;
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...keys].every((key) => same(a[key], b[key]));
}

/** Keys whose values differ. */
export function changed(before: Settings, after: Settings): readonly Key[] {
  return KEYS.filter((key) => !same(before[key], after[key]));
}
