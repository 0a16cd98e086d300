import { describe, expect, it } from 'vitest';

import { parseDuration } from '../../src/words/duration';

const seconds = (text: string): number | string => {
  const parsed = parseDuration(text);
  return parsed.ok ? parsed.seconds : parsed.reason;
};

describe('parseDuration', () => {
  it('reads what people write', () => {
    expect(seconds('12h')).toBe(43_200);
    expect(seconds(' 30 Days ')).toBe(2_592_000);
    expect(seconds('1 d 12 h')).toBe(129_600);
    expect(seconds('2 weeks, 1 day')).toBe(1_296_000);
    expect(seconds('1.5 h')).toBe(5_400);
    expect(seconds('90 min')).toBe(5_400);
    expect(seconds('1 year')).toBe(31_536_000);
  });

  it('says what is wrong with the rest', () => {
    expect(seconds('')).toContain('a number and a unit');
    expect(seconds('soon')).toContain('a number and a unit');
    expect(seconds('12')).toContain('a number and a unit');
    expect(seconds('3 months')).toContain('“months” is not a unit of time');
    expect(seconds('0 s')).toContain('longer than nothing');
    expect(seconds('500 y')).toContain('a hundred years');
    expect(seconds('-1 h')).toContain('a number and a unit');
  });
});
