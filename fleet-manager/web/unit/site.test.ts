import { describe, expect, it } from 'vitest';

import { CHOICES, isAdapted } from '../src/pages/account/colours';
import { nameFrom, wrongEmoteName, wrongImage } from '../src/pages/studio/emotes';
import { routeOf } from '../src/routes';
import type { Card } from '../src/site/api';
import { held, matches, sorted } from '../src/site/arrange';
import { followed } from '../src/site/followed';
import { hueOf, initialOf, nameIsComplete, wrongName } from '../src/site/names';
import { isHere } from '../src/site/navigation';
import { short, viewers } from '../src/site/words';

const card = (id: string, change: Partial<Card> = {}): Card => ({
  id,
  title: `Title of ${id}`,
  streamer: { id: `01${id}`, name: id },
  live: true,
  viewers: 1,
  started_ms: 1,
  thumbnail_url: null,
  watch_url: `/watch/${id}`,
  ...change,
});
const ids = (cards: readonly Card[]) => cards.map(({ id }) => id).join(' ');

describe('the directory', () => {
  const cards = [
    card('a', { viewers: 5, started_ms: 30 }),
    card('b', { viewers: 9, started_ms: 10 }),
    card('c', { viewers: null, started_ms: 20 }),
    card('d', { viewers: 5, started_ms: 40 }),
  ];

  it('has the most watched first, or who has just started', () => {
    expect(ids(sorted(cards, 'viewers'))).toBe('b a d c');
    expect(ids(sorted(cards, 'newest'))).toBe('d a c b');
  });

  it('stays where it is under the pointer, and new channels come last', () => {
    const now = sorted([...cards, card('new', { viewers: 100 })], 'viewers');
    expect(ids(now)).toBe('new b a d c');
    expect(ids(held(now, ['a', 'b', 'c', 'gone', 'd']))).toBe('a b c d new');
    expect(ids(held(now, []))).toBe('new b a d c');
  });

  it('finds words in any order, without accents or case', () => {
    const angel = card('angel', { title: 'Küche am Abend', streamer: { id: '1', name: 'Ángel_7' } });
    for (const q of ['', '  ', 'kuche', 'KÜCHE', 'abend angel', 'angel_7', 'am  ku']) {
      expect(matches(angel, q), q).toBe(true);
    }
    expect(matches(angel, 'kuche morgen')).toBe(false);
    expect(matches(card('x', { streamer: null }), 'x')).toBe(true);
  });
});

describe('followed channels', () => {
  const off = card('off', { live: false, last_live_ms: 5 });
  const later = card('later', { live: false, last_live_ms: 9 });
  const on = card('on', { viewers: 3 });

  it('are told apart by the directory once it is known', () => {
    const before = followed([off, on, later], null, 100);
    expect([ids(before.live), ids(before.offline)]).toEqual(['on', 'later off']);
    const now = followed([off, on, later], [card('off', { viewers: 7, title: 'Now' })], 100);
    expect(ids(now.live)).toBe('off');
    expect(now.live[0]?.title).toBe('Now');
    expect(ids(now.offline)).toBe('on later');
    expect(now.offline[0]?.last_live_ms).toBe(100);
  });
});

describe('names', () => {
  it('are judged as they are typed', () => {
    expect(wrongName('')).toBeNull();
    expect(wrongName('Ad')).toBeNull();
    expect(nameIsComplete('Ad')).toBe(false);
    expect(nameIsComplete('Ada_7')).toBe(true);
    for (const bad of ['Ada ', 'ada-7', 'Äda', 'a'.repeat(26)]) expect(wrongName(bad), bad).not.toBeNull();
  });

  it('have a colour and a letter', () => {
    expect(hueOf('Ada')).toBe(hueOf('ada'));
    expect(hueOf('ada')).not.toBe(hueOf('adb'));
    for (const name of ['', 'x', '🎸 band']) {
      expect(hueOf(name)).toBeGreaterThanOrEqual(0);
      expect(hueOf(name)).toBeLessThan(360);
    }
    expect(initialOf('ada')).toBe('A');
    expect(initialOf('🎸 band')).toBe('🎸');
    expect(initialOf('')).toBe('?');
  });
});

describe('numbers', () => {
  it('are short', () => {
    expect([0, 7, 999, 1_234, 15_400].map(short)).toEqual(['0', '7', '999', '1.2k', '15.4k']);
    expect(viewers(1)).toBe('1 viewer');
    expect(viewers(2_000)).toBe('2k viewers');
  });
});

describe('addresses', () => {
  it('name pages', () => {
    expect(routeOf('/watch/ada')?.params).toEqual({ channel: 'ada' });
    expect(routeOf('/studio/ada')?.route.pattern).toBe('/studio/:channel');
    expect(routeOf('/studio/')?.route.pattern).toBe('/studio');
    for (const path of ['/watch', '/watch/a/b', '/nowhere', '/account/x'])
      expect(routeOf(path), path).toBeNull();
  });

  it('say where one is', () => {
    expect(isHere('/studio/ada', '/studio')).toBe(true);
    expect(isHere('/', '/')).toBe(true);
    expect(isHere('/following', '/')).toBe(false);
  });
});

describe('emotes', () => {
  it('are called as the server takes it', () => {
    expect(nameFrom('Happy Dance (2).png')).toBe('happydance2');
    expect(nameFrom('Kätzchen.tar.gz')).toBe('katzchentar');
    expect(nameFrom(`${'x'.repeat(40)}.png`)).toHaveLength(24);
    expect(wrongEmoteName('ada_hi')).toBeNull();
    for (const bad of ['Ada', 'a b', ':a:', 'x'.repeat(26)]) expect(wrongEmoteName(bad), bad).not.toBeNull();
  });

  it('are images of a modest size', () => {
    expect(wrongImage({ type: 'image/png', size: 4_000 })).toBeNull();
    expect(wrongImage({ type: 'image/svg+xml', size: 100 })).toContain('PNG');
    expect(wrongImage({ type: 'image/png', size: 300 * 1024 })).toContain('300');
  });
});

describe('colours in chat', () => {
  it('are said to be changed where they could not be read', () => {
    expect(isAdapted('#ffff00')).toBe('light');
    expect(isAdapted('#202020')).toBe('dark');
    expect(isAdapted('#7a7a7a')).toBe('light');
    for (const { color } of CHOICES) expect(isAdapted(color), color).not.toBe('dark');
  });
});
