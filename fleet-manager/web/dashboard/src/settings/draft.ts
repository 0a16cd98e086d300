// Settings while somebody edits them: as typed, so that half a number is no error until it is sent.

import type { Day, LogLevel, Settings } from '../api/types';
import { clockTime, DAYS, minuteOf } from './windows';
import { LIMIT_KEYS, type Key, type Limit } from './words';

export interface DraftRung {
  name: string;
  height: string;
  /** In kbit/s. */
  bitrate: string;
}

export interface DraftWindow {
  days: Day[];
  /** Time of day in UTC, such as `02:00`. */
  start: string;
  /** In hours. */
  hours: string;
}

/** Three a day of the week, as the server has it. */
export const MOST_WINDOWS = 21;

export interface Draft {
  /** What is set here; everything else comes from below. */
  set: Record<Exclude<Key, 'stream_keys'>, boolean>;
  drain: boolean;
  log_level: LogLevel;
  telemetry_s: string;
  part_ms: string;
  ladder: DraftRung[];
  limits: Record<Limit, string>;
  origins: { name: string; url: string }[];
  maintenance: DraftWindow[];
  /** Nobody types these. */
  stream_keys: string[] | undefined;
}

const FACTOR: Readonly<Record<Limit, number>> = {
  connections: 1,
  connections_per_address: 1,
  bitrate_bps: 1e6,
  pixels_per_s: 1e6,
};

/** `below`: what holds where nothing is set; it fills the fields, so that a change starts from what is. */
export function draftOf(own: Settings, below: Settings): Draft {
  const either = { ...below, ...own };
  const limits = either.limits ?? {};
  return {
    set: {
      drain: own.drain !== undefined,
      ladder: own.ladder !== undefined,
      part_ms: own.part_ms !== undefined,
      limits: own.limits !== undefined,
      origins: own.origins !== undefined,
      maintenance: own.maintenance !== undefined,
      log_level: own.log_level !== undefined,
      telemetry_s: own.telemetry_s !== undefined,
    },
    drain: either.drain ?? false,
    log_level: either.log_level ?? 'info',
    telemetry_s: String(either.telemetry_s ?? 10),
    part_ms: String(either.part_ms ?? 500),
    ladder: (either.ladder ?? []).map((rung) => ({
      name: rung.name,
      height: String(rung.height),
      bitrate: String(rung.bitrate / 1000),
    })),
    limits: Object.fromEntries(
      LIMIT_KEYS.map((limit) => {
        const value = limits[limit];
        return [limit, value === undefined ? '' : String(value / FACTOR[limit])];
      }),
    ) as Record<Limit, string>,
    origins: (either.origins ?? []).map((origin) => ({ ...origin })),
    maintenance: (either.maintenance ?? []).map((window) => ({
      days: [...window.days],
      start: clockTime(window.start_minute),
      hours: String(Number((window.minutes / 60).toFixed(3))),
    })),
    stream_keys: own.stream_keys === undefined ? undefined : [...own.stream_keys],
  };
}

/** By the path of the field, such as `ladder.1.height`. */
export type Problems = Readonly<Record<string, string>>;

export interface Read {
  readonly settings: Settings;
  readonly problems: Problems;
}

/** The settings that a draft means, and what is wrong with what was typed. */
export function read(draft: Draft): Read {
  const problems: Record<string, string> = {};
  const settings: Settings = {};
  const whole = (path: string, text: string, least: number, most: number): number => {
    const value = Number(text.trim());
    if (text.trim() === '' || !Number.isInteger(value) || value < least || value > most) {
      problems[path] = `A whole number from ${least} to ${most}.`;
      return least;
    }
    return value;
  };
  if (draft.set.drain) settings.drain = draft.drain;
  if (draft.set.log_level) settings.log_level = draft.log_level;
  if (draft.set.telemetry_s) settings.telemetry_s = whole('telemetry_s', draft.telemetry_s, 1, 300);
  if (draft.set.part_ms) settings.part_ms = whole('part_ms', draft.part_ms, 200, 1000);
  if (draft.set.ladder) settings.ladder = readLadder(draft, problems, whole);
  if (draft.set.limits) settings.limits = readLimits(draft, problems);
  if (draft.set.origins) settings.origins = readOrigins(draft, problems);
  if (draft.set.maintenance) settings.maintenance = readWindows(draft, problems);
  if (draft.stream_keys !== undefined) settings.stream_keys = draft.stream_keys;
  return { settings, problems };
}

/** As in `protocol`: lower-case letters, digits, `_` and `-`. */
const NAME = /^[a-z0-9][a-z0-9_-]{0,31}$/;

function readLadder(
  draft: Draft,
  problems: Record<string, string>,
  whole: (path: string, text: string, least: number, most: number) => number,
): NonNullable<Settings['ladder']> {
  if (draft.ladder.length === 0) problems['ladder'] = 'A ladder has at least one rung.';
  const names = new Set<string>();
  return draft.ladder.map((rung, index) => {
    const name = rung.name.trim();
    if (!NAME.test(name)) problems[`ladder.${index}.name`] = 'Lower-case letters, digits, _ and -.';
    else if (names.has(name)) problems[`ladder.${index}.name`] = 'Another rung is called so.';
    names.add(name);
    return {
      name,
      height: whole(`ladder.${index}.height`, rung.height, 90, 2160),
      bitrate: whole(`ladder.${index}.bitrate`, rung.bitrate, 50, 50_000) * 1000,
    };
  });
}

function readLimits(draft: Draft, problems: Record<string, string>): NonNullable<Settings['limits']> {
  const limits: NonNullable<Settings['limits']> = {};
  for (const limit of LIMIT_KEYS) {
    const text = draft.limits[limit].trim();
    if (text === '') continue;
    const value = Number(text) * FACTOR[limit];
    if (!Number.isFinite(value) || value <= 0 || (FACTOR[limit] === 1 && !Number.isInteger(value))) {
      problems[`limits.${limit}`] = FACTOR[limit] === 1 ? 'A whole number above 0.' : 'A number above 0.';
    } else {
      limits[limit] = Math.round(value);
    }
  }
  return limits;
}

function readOrigins(draft: Draft, problems: Record<string, string>): NonNullable<Settings['origins']> {
  if (draft.origins.length === 0)
    problems['origins'] = 'Without an origin no viewer sees a stream of this box.';
  const names = new Set<string>();
  return draft.origins.map((origin, index) => {
    const name = origin.name.trim();
    const url = origin.url.trim();
    if (name === '') problems[`origins.${index}.name`] = 'A name, for logs.';
    else if (names.has(name)) problems[`origins.${index}.name`] = 'Another origin is called so.';
    names.add(name);
    if (!isAddress(url)) problems[`origins.${index}.url`] = 'An address such as https://origin.example:8443.';
    return { name, url };
  });
}

function readWindows(draft: Draft, problems: Record<string, string>): NonNullable<Settings['maintenance']> {
  return draft.maintenance.map((window, index) => {
    const start = minuteOf(window.start);
    if (start === null) problems[`maintenance.${index}.start`] = 'A time of day, such as 02:30.';
    const minutes = Math.round(Number(window.hours.trim().replace(',', '.')) * 60);
    if (!(minutes >= 15 && minutes <= 1_440)) {
      problems[`maintenance.${index}.hours`] = 'From a quarter of an hour (0.25) to 24 hours.';
    }
    // Every day is said by no day, as the box has it.
    const days = window.days.length === DAYS.length ? [] : DAYS.filter((day) => window.days.includes(day));
    return { days, start_minute: start ?? 0, minutes };
  });
}

function isAddress(text: string): boolean {
  try {
    const url = new URL(text);
    return url.protocol === 'https:' && url.hostname !== '' && url.pathname === '/' && url.search === '';
  } catch {
    return false;
  }
}
