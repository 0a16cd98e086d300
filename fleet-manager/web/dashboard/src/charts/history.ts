// Telemetry as a chart wants it: what the server kept, and what has come since.

import type { Series, TelemetryHistory } from '../api/types';
import { SERIES } from '../api/types';

export interface History {
  readonly resolution_s: number;
  /** Milliseconds, rising. */
  readonly at: readonly number[];
  readonly values: Readonly<Partial<Record<Series, readonly (number | null)[]>>>;
}

/** A silence longer than this many steps is drawn as a gap. */
const GAP_STEPS = 3;

export function historyOf(answer: TelemetryHistory): History {
  return { resolution_s: answer.resolution_s, at: answer.at_ms, values: answer.series };
}

/** With one more measurement at its end, and without what is older than `fromMs`. What came late is left to the next fetch. */
export function appended(
  history: History,
  atMs: number,
  values: Readonly<Record<string, number | null>>,
  fromMs: number,
): History {
  const last = history.at.at(-1);
  if (last !== undefined && atMs <= last) return history;
  const begin = history.at.findIndex((at) => at >= fromMs);
  const cut = begin < 0 ? history.at.length : begin;
  const next: Partial<Record<Series, readonly (number | null)[]>> = {};
  for (const name of SERIES) {
    const before = history.values[name];
    const value = values[name] ?? null;
    if (before === undefined && value === null) continue;
    next[name] = [...(before ?? history.at.map(() => null)).slice(cut), value];
  }
  return { resolution_s: history.resolution_s, at: [...history.at.slice(cut), atMs], values: next };
}

/** Seconds, and one array per series, with a hole wherever the box was silent. */
export function aligned(history: History, names: readonly Series[]): [number[], ...(number | null)[][]] {
  const limit = history.resolution_s * 1000 * GAP_STEPS;
  const xs: number[] = [];
  const ys: (number | null)[][] = names.map(() => []);
  let before: number | null = null;
  for (const [index, at] of history.at.entries()) {
    if (before !== null && at - before > limit) {
      xs.push((before + history.resolution_s * 1000) / 1000);
      for (const column of ys) column.push(null);
    }
    xs.push(at / 1000);
    for (const [position, name] of names.entries()) ys[position]?.push(history.values[name]?.[index] ?? null);
    before = at;
  }
  return [xs, ...ys];
}

export interface Summary {
  readonly last: number | null;
  readonly least: number | null;
  readonly most: number | null;
}

/** For those who do not see the curve. */
export function summary(values: readonly (number | null)[] | undefined): Summary {
  let last: number | null = null;
  let least: number | null = null;
  let most: number | null = null;
  for (const value of values ?? []) {
    if (value === null) continue;
    last = value;
    least = least === null ? value : Math.min(least, value);
    most = most === null ? value : Math.max(most, value);
  }
  return { last, least, most };
}
