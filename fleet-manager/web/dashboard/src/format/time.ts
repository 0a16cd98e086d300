// Points in time and lengths of it, in words.

import { NONE } from './units';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** `just now`, `5 min ago`, `in 3 h`; beyond a month the day itself. */
export function ago(atMs: number | null | undefined, nowMs: number): string {
  if (atMs === null || atMs === undefined) return NONE;
  const past = nowMs - atMs;
  const distance = Math.abs(past);
  if (distance < 5 * SECOND) return 'just now';
  if (distance > 31 * DAY) return day(atMs);
  const words =
    distance < MINUTE
      ? `${Math.floor(distance / SECOND)} s`
      : distance < HOUR
        ? `${Math.floor(distance / MINUTE)} min`
        : distance < DAY
          ? `${Math.floor(distance / HOUR)} h`
          : distance < 2 * DAY
            ? '1 day'
            : `${Math.floor(distance / DAY)} days`;
  return past >= 0 ? `${words} ago` : `in ${words}`;
}

/** `2 d 4 h`, `3 h 05 min`, `4 min 09 s`, `12 s`: the two greatest units. */
export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return NONE;
  const left = Math.max(0, ms);
  const days = Math.floor(left / DAY);
  const hours = Math.floor((left % DAY) / HOUR);
  const minutes = Math.floor((left % HOUR) / MINUTE);
  const seconds = Math.floor((left % MINUTE) / SECOND);
  const two = (value: number) => String(value).padStart(2, '0');
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${two(minutes)} min`;
  if (minutes > 0) return `${minutes} min ${two(seconds)} s`;
  return `${seconds} s`;
}

/** `1:04:09`, for what is live. */
export function clock(ms: number): string {
  const total = Math.max(0, Math.floor(ms / SECOND));
  const two = (value: number) => String(value).padStart(2, '0');
  const hours = Math.floor(total / 3600);
  const minutes = Math.floor((total % 3600) / 60);
  return hours > 0 ? `${hours}:${two(minutes)}:${two(total % 60)}` : `${minutes}:${two(total % 60)}`;
}

export function day(atMs: number): string {
  return new Date(atMs).toLocaleDateString('en-GB', { day: 'numeric', month: 'short', year: 'numeric' });
}

/** With seconds and zone, so that it can be laid beside a log. */
export function exact(atMs: number): string {
  return new Date(atMs).toLocaleString('en-GB', {
    day: 'numeric',
    month: 'short',
    year: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    timeZoneName: 'short',
  });
}

export function timeOfDay(atMs: number): string {
  return new Date(atMs).toLocaleTimeString('en-GB', {
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
  });
}
