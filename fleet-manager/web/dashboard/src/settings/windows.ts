// Maintenance windows in words: in UTC, as the box has them, and by the clock of whoever reads them.

import type { Day, Window } from '../api/types';

export const DAYS: readonly Day[] = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];

export const DAY_NAMES: Readonly<Record<Day, string>> = {
  mon: 'Monday',
  tue: 'Tuesday',
  wed: 'Wednesday',
  thu: 'Thursday',
  fri: 'Friday',
  sat: 'Saturday',
  sun: 'Sunday',
};

const DAY_MINUTES = 1_440;

export function shortDay(day: Day): string {
  return DAY_NAMES[day].slice(0, 3);
}

/** `02:00`. */
export function clockTime(minute: number): string {
  const two = (value: number) => String(value).padStart(2, '0');
  return `${two(Math.floor(minute / 60))}:${two(minute % 60)}`;
}

/** Minute of the day, or null where it is no time of day. */
export function minuteOf(text: string): number | null {
  const match = /^(\d{1,2}):(\d{2})$/.exec(text.trim());
  if (match === null) return null;
  const [hours, minutes] = [Number(match[1]), Number(match[2])];
  return hours < 24 && minutes < 60 ? hours * 60 + minutes : null;
}

/** What this clock is ahead of UTC, in minutes. */
export function localOffset(now = new Date()): number {
  return -now.getTimezoneOffset();
}

/** The window by a clock that is `offset` minutes ahead of UTC. */
export function shifted(window: Window, offset: number): Window {
  const minute = window.start_minute + offset;
  const over = Math.floor(minute / DAY_MINUTES);
  const place = (day: Day) => (DAYS.indexOf(day) + over + DAYS.length) % DAYS.length;
  const places = new Set(window.days.map(place));
  return {
    days: DAYS.filter((_, index) => places.has(index)),
    start_minute: minute - over * DAY_MINUTES,
    minutes: window.minutes,
  };
}

/** `Mon–Fri`, `Sat, Sun`, `every day`. */
export function daysWords(days: readonly Day[]): string {
  const places = DAYS.flatMap((day, index) => (days.includes(day) ? [index] : []));
  if (places.length === 0 || places.length === DAYS.length) return 'every day';
  const runs: number[][] = [];
  for (const place of places) {
    const run = runs.at(-1);
    if (run?.at(-1) === place - 1) run.push(place);
    else runs.push([place]);
  }
  const name = (place: number | undefined) => shortDay(DAYS[place ?? 0] ?? 'mon');
  return runs
    .flatMap((run) =>
      run.length > 2 ? [`${name(run[0])}–${name(run.at(-1))}`] : run.map((place) => name(place)),
    )
    .join(', ');
}

function spanWords({ start_minute, minutes }: Window): string {
  if (minutes >= DAY_MINUTES) return `24 hours from ${clockTime(start_minute)}`;
  return `${clockTime(start_minute)}–${clockTime((start_minute + minutes) % DAY_MINUTES)}`;
}

/** `Mon–Fri, 02:00–04:00`, without a word on whose clock that is. */
export function windowWords(window: Window): string {
  return `${daysWords(window.days)}, ${spanWords(window)}`;
}

/** By both clocks: `every day, 22:00–02:00 UTC (04:00–08:00 here)`. */
export function bothClocks(window: Window, offset = localOffset()): string {
  const utc = `${windowWords(window)} UTC`;
  if (offset === 0) return utc;
  const here = shifted(window, offset);
  const sameDays = daysWords(here.days) === daysWords(window.days);
  return `${utc} (${sameDays ? spanWords(here) : windowWords(here)} here)`;
}
