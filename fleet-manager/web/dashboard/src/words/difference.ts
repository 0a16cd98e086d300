// What changed between two JSON values, as lines that a person reads: which setting, from what, to what.

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export interface Change {
  /** `limits › connections`; empty for the value itself. */
  path: string;
  kind: 'added' | 'removed' | 'changed';
  before: string;
  after: string;
}

/** An entry larger than this is a file, not a setting: the rest is counted. */
const MOST_CHANGES = 200;

export function difference(before: Json | undefined, after: Json | undefined): Change[] {
  const changes: Change[] = [];
  walk([], before ?? undefined, after ?? undefined, changes);
  return changes.slice(0, MOST_CHANGES);
}

function walk(
  path: readonly string[],
  before: Json | undefined,
  after: Json | undefined,
  changes: Change[],
): void {
  if (changes.length >= MOST_CHANGES || same(before, after)) return;
  const ours = keyed(before);
  const theirs = keyed(after);
  // A whole object that came or went is shown member by member: its JSON would not be readable.
  if (
    (ours !== null || before === undefined || before === null) &&
    (theirs !== null || after === undefined || after === null)
  ) {
    if (ours !== null || theirs !== null) {
      const keys = new Set([...(ours?.keys() ?? []), ...(theirs?.keys() ?? [])]);
      for (const key of keys) walk([...path, key], ours?.get(key), theirs?.get(key), changes);
      if (keys.size > 0) return;
    }
  }
  if (Array.isArray(before) && Array.isArray(after) && scalars(before) && scalars(after)) {
    const gone = before.filter((item) => !after.some((other) => same(item, other)));
    const come = after.filter((item) => !before.some((other) => same(item, other)));
    if (gone.length + come.length > 0) {
      for (const item of gone) changes.push(change(path, item, undefined));
      for (const item of come) changes.push(change(path, undefined, item));
      return;
    }
  }
  changes.push(change(path, before, after));
}

function change(path: readonly string[], before: Json | undefined, after: Json | undefined): Change {
  const key = path.at(-1) ?? '';
  const kind = absent(before) ? 'added' : absent(after) ? 'removed' : 'changed';
  return { path: path.map(label).join(' › '), kind, before: show(key, before), after: show(key, after) };
}

const absent = (value: Json | undefined): boolean => value === undefined || value === null;

/** An object's members; a list of objects by what names each of them, so that one inserted in front is one change. */
function keyed(value: Json | undefined): Map<string, Json> | null {
  if (value === undefined || value === null || typeof value !== 'object') return null;
  if (!Array.isArray(value)) return new Map(Object.entries(value));
  if (value.length === 0) return null;
  const members = new Map<string, Json>();
  for (const item of value as readonly Json[]) {
    if (item === null || typeof item !== 'object' || Array.isArray(item)) return null;
    const object = item as { readonly [key: string]: Json };
    const name = object['name'] ?? object['id'] ?? object['version'];
    if ((typeof name !== 'string' && typeof name !== 'number') || members.has(String(name))) return null;
    members.set(String(name), item);
  }
  return members;
}

const scalars = (list: readonly Json[]): boolean =>
  list.every((item) => item === null || typeof item !== 'object');

function same(a: Json | undefined, b: Json | undefined): boolean {
  if (absent(a) && absent(b)) return true;
  if (a === b) return true;
  if (a === null || b === null || typeof a !== 'object' || typeof b !== 'object') return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const left = Object.entries(a);
  const right = new Map(Object.entries(b as object) as [string, Json][]);
  return (
    left.length === right.size && left.every(([key, value]) => right.has(key) && same(value, right.get(key)))
  );
}

/** Names whose underscores hide what they say. */
const LABELS: Readonly<Record<string, string>> = {
  min_version: 'lowest valid key',
  expires_at_ms: 'expires',
  expires_ms: 'expires',
  created_ms: 'created',
  revoked_ms: 'revoked',
  last_used_ms: 'last used',
  display_name: 'name',
  suspended_reason: 'reason',
  bitrate_bps: 'bitrate',
  capacity_bps: 'capacity',
  telemetry_s: 'telemetry interval',
  part_ms: 'part length',
  max_failures: 'failures put up with',
  success_percent: 'percent confirmed',
  soak_s: 'watched for',
  start_minute: 'from minute of the day',
  added_ms: 'added',
  started_ms: 'started',
  ended_ms: 'ended',
};

function label(key: string): string {
  return LABELS[key] ?? key.replaceAll('_', ' ');
}

/** The key's unit decides how a number reads. */
export function show(key: string, value: Json | undefined): string {
  if (value === undefined || value === null) return 'nothing';
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (typeof value === 'string') return value === '' ? 'empty' : value;
  if (typeof value === 'number') return showNumber(key, value);
  if (Array.isArray(value))
    return value.length === 0 ? 'none' : value.map((item: Json) => show('', item)).join(', ');
  const members = Object.entries(value);
  return members.length === 0
    ? 'empty'
    : members.map(([name, item]) => `${label(name)} ${show(name, item)}`).join(', ');
}

/** The first second of 2001: a smaller number of milliseconds is a span, not a date. */
const DATES_FROM_MS = 978_307_200_000;

function showNumber(key: string, value: number): string {
  if (key.endsWith('_ms') && value >= DATES_FROM_MS) return date(value);
  if (key.endsWith('_ms')) return `${value} ms`;
  if (key.endsWith('_s')) return `${value} s`;
  if (key.endsWith('_bps') || key === 'bitrate') return `${Number((value / 1e6).toFixed(3))} Mbit/s`;
  return String(value);
}

/** Local time in the spelling that sorts, which everybody can read. */
function date(ms: number): string {
  const at = new Date(ms);
  const two = (part: number): string => String(part).padStart(2, '0');
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}
