import { describe, expect, it } from 'vitest';

import { idFrom, wrongId } from '../../src/words/ids';

describe('idFrom', () => {
  it('reads like the name', () => {
    expect(idFrom('Küche & Co')).toBe('kuche-co');
    expect(idFrom('  Straße 7! ')).toBe('strasse-7');
    expect(idFrom('_under_score_')).toBe('under_score_');
    expect(idFrom('নদী')).toBe('');
  });

  it('makes ids that are valid', () => {
    for (const name of ['A', '—x—', 'a'.repeat(80), `${'a'.repeat(31)} b`, '9 lives', 'ÅÄÖ']) {
      expect(wrongId(idFrom(name)), name).toBeNull();
      expect(idFrom(name).length).toBeLessThanOrEqual(32);
    }
  });
});

describe('wrongId', () => {
  it('says what is wrong', () => {
    expect(wrongId('room-1')).toBeNull();
    expect(wrongId('Room')).toContain('begin');
    expect(wrongId('a b')).toContain('Only small letters');
    expect(wrongId('a'.repeat(33))).toContain('32');
  });
});
