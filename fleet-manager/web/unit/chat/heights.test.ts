import { describe, expect, it } from 'vitest';

import { Heights } from '../../src/chat/heights';

const rows = (count: number, from = 0) =>
  Array.from({ length: count }, (_, i) => ({ key: String(from + i) }));
const measured = (list: readonly { key: string }[], height: number) => {
  const heights = new Heights();
  for (const { key } of list) heights.set(key, height);
  return heights;
};

describe('which rows are drawn', () => {
  it('takes a row that was not drawn yet for a mean one', () => {
    const heights = new Heights();
    heights.set('a', 20);
    heights.set('b', 60);
    expect(heights.of('c')).toBe(40);
    heights.set('b', 40);
    expect(heights.of('c')).toBe(30);
  });

  it('fills from the end', () => {
    const list = rows(1_000);
    const heights = measured(list, 25);
    expect(heights.atEnd(list, 400, 100)).toEqual({ first: 980, end: 1_000, before: 980 * 25, after: 0 });
    expect(heights.atEnd(rows(3), 400, 100)).toEqual({ first: 0, end: 3, before: 0, after: 0 });
    expect(heights.atEnd([], 400, 100)).toEqual({ first: 0, end: 0, before: 0, after: 0 });
  });

  it('is around what is seen', () => {
    const list = rows(1_000);
    const heights = measured(list, 25);
    const slice = heights.around(list, 10_000, 400, 100);
    expect(slice).toEqual({ first: 396, end: 420, before: 9_900, after: 580 * 25 });
    expect(heights.around(list, 0, 400, 100)).toMatchObject({ first: 0, before: 0 });
    expect(heights.around(list, 1e9, 400, 100)).toMatchObject({ first: 1_000, end: 1_000 });
  });

  it('starts anew with a new width, and forgets rows that are gone', () => {
    const list = rows(1_000);
    const heights = measured(list, 25);
    const later = rows(100, 950);
    heights.prune(later);
    expect(heights.size).toBeLessThan(110);
    expect(heights.of('960')).toBe(25);
    heights.reset();
    expect(heights.of('960')).toBe(25);
    heights.set('960', 50);
    expect(heights.of('960')).toBe(50);
  });
});
