import { describe, expect, it } from 'vitest';

import { formatDuration, parseDuration } from '../../src/words/duration';

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

describe('formatDuration', () => {
  it('says the two largest units', () => {
    expect(formatDuration(0)).toBe('0 s');
    expect(formatDuration(45)).toBe('45 s');
    expect(formatDuration(3_600)).toBe('1 h');
    expect(formatDuration(5_400)).toBe('1 h 30 min');
    expect(formatDuration(90_061)).toBe('1 d 1 h');
    // A unit that is nought ends it: nobody needs the seconds of a day.
    expect(formatDuration(86_405)).toBe('1 d');
  });

  it('is read back', () => {
    for (const text of ['1 y 2 d', '3 h 20 min', '59 s']) {
      const parsed = parseDuration(text);
      expect(parsed.ok && formatDuration(parsed.seconds)).toBe(text);
    }
  });
});
