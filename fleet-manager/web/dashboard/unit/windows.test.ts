import { describe, expect, it } from 'vitest';

import { bothClocks, daysWords, minuteOf, shifted, windowWords } from '../src/settings/windows';

describe('maintenance windows', () => {
  it('read as days and a span', () => {
    expect(windowWords({ days: [], start_minute: 120, minutes: 120 })).toBe('every day, 02:00–04:00');
    expect(windowWords({ days: ['mon', 'tue', 'wed', 'sun'], start_minute: 1_380, minutes: 180 })).toBe(
      'Mon–Wed, Sun, 23:00–02:00',
    );
    expect(windowWords({ days: ['sat', 'sun'], start_minute: 0, minutes: 1_440 })).toBe(
      'Sat, Sun, 24 hours from 00:00',
    );
    expect(daysWords(['sun', 'sat', 'fri', 'thu', 'wed', 'tue', 'mon'])).toBe('every day');
  });

  it('are told by the reader’s clock, too', () => {
    const late = { days: ['sun' as const], start_minute: 1_380, minutes: 180 };
    expect(shifted(late, 360)).toEqual({ days: ['mon'], start_minute: 300, minutes: 180 });
    expect(shifted({ ...late, start_minute: 60 }, -120)).toEqual({
      days: ['sat'],
      start_minute: 1_380,
      minutes: 180,
    });
    expect(bothClocks(late, 0)).toBe('Sun, 23:00–02:00 UTC');
    expect(bothClocks(late, 360)).toBe('Sun, 23:00–02:00 UTC (Mon, 05:00–08:00 here)');
    expect(bothClocks({ ...late, start_minute: 120 }, 60)).toBe('Sun, 02:00–05:00 UTC (03:00–06:00 here)');
  });

  it('begin at a time of day', () => {
    expect([minuteOf('02:30'), minuteOf('23:59'), minuteOf('24:00'), minuteOf('soon')]).toEqual([
      150,
      1_439,
      null,
      null,
    ]);
  });
});
