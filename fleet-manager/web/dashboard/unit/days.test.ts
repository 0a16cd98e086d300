import { describe, expect, it } from 'vitest';

import { dayEnd, dayStart } from '../src/pages/audit/days';

describe('days', () => {
  it('begin and end in the reader’s own zone', () => {
    const start = dayStart('2026-11-22');
    expect(new Date(start ?? 0).toString()).toContain('Nov 22 2026 00:00:00');
    expect(dayEnd('2026-11-22')).toBe(dayStart('2026-11-23'));
  });

  it('are null where there is none', () => {
    expect([dayStart(''), dayEnd('soon'), dayStart('2026-02-31')]).toEqual([null, null, null]);
  });
});
