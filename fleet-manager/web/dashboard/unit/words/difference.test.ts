import { describe, expect, it } from 'vitest';

import { difference, show, type Json } from '../../src/words/difference';

const lines = (before: Json | undefined, after: Json | undefined): string[] =>
  difference(before, after).map(
    ({ path, kind, before: from, after: to }) => `${kind} ${path}: ${from} → ${to}`,
  );

describe('difference', () => {
  it('says nothing about what stayed', () => {
    expect(lines({ a: 1, b: [1, 2], c: { d: null } }, { a: 1, b: [1, 2], c: {} })).toEqual([]);
    expect(lines(null, undefined)).toEqual([]);
  });

  it('names each setting that changed by its path', () => {
    expect(
      lines({ limits: { connections: 10 }, drain: false }, { limits: { connections: 20 }, drain: true }),
    ).toEqual(['changed limits › connections: 10 → 20', 'changed drain: no → yes']);
  });

  it('shows what was made member by member, and what was deleted likewise', () => {
    expect(lines(null, { display_name: 'Cooking', owner: 'mina' })).toEqual([
      'added name: nothing → Cooking',
      'added owner: nothing → mina',
    ]);
    expect(lines({ display_name: 'Cooking', owner: null }, null)).toEqual([
      'removed name: Cooking → nothing',
    ]);
  });

  it('matches the members of a list by their names', () => {
    const before = [
      { name: '720p', bitrate: 3_000_000 },
      { name: '360p', bitrate: 800_000 },
    ];
    const after = [{ name: '1080p', bitrate: 6_000_000 }, ...before];
    expect(lines({ ladder: before }, { ladder: after })).toEqual([
      'added ladder › 1080p › name: nothing → 1080p',
      'added ladder › 1080p › bitrate: nothing → 6 Mbit/s',
    ]);
  });

  it('says which items of a plain list came and went', () => {
    expect(lines({ kinds: ['box_offline', 'too_hot'] }, { kinds: ['too_hot', 'uplink_lag'] })).toEqual([
      'removed kinds: box_offline → nothing',
      'added kinds: nothing → uplink_lag',
    ]);
    // The same items in another order are a change all the same.
    expect(lines({ keys: ['a', 'b'] }, { keys: ['b', 'a'] })).toEqual(['changed keys: a, b → b, a']);
  });

  it('stands a value that changed its kind', () => {
    expect(lines({ location: null }, { location: { latitude: 1.5 } })).toEqual([
      'added location › latitude: nothing → 1.5',
    ]);
    expect(lines({ x: { y: 1 } }, { x: 'text' })).toEqual(['changed x: y 1 → text']);
    expect(lines('a', 'b')).toEqual(['changed : a → b']);
  });

  it('is bounded', () => {
    const many = Object.fromEntries(Array.from({ length: 5_000 }, (_, index) => [`k${index}`, index]));
    expect(difference(null, many)).toHaveLength(200);
  });
});

describe('show', () => {
  it('reads a number by its key', () => {
    expect(show('bitrate_bps', 4_500_000)).toBe('4.5 Mbit/s');
    expect(show('telemetry_s', 10)).toBe('10 s');
    expect(show('part_ms', 333)).toBe('333 ms');
    expect(show('expires_at_ms', Date.UTC(2027, 0, 2))).toMatch(/^202[67]-\d\d-\d\d /);
  });

  it('has a word for nothing', () => {
    expect([show('', null), show('', ''), show('', []), show('', {})]).toEqual([
      'nothing',
      'empty',
      'none',
      'empty',
    ]);
  });
});
