import { describe, expect, it } from 'vitest';

import type { Mark } from '../../src/chat/protocol';
import { cut, emoteUrl, graphemes, linkUrl, partsOf, utf8Length } from '../../src/chat/text';

const HERE = 'https://nodi.example';
const parts = (text: string, ...marks: Mark[]) =>
  partsOf({ text, marks }, HERE).map((part) => `${part.is}:${part.text}`);

describe('a message in parts', () => {
  it('is cut at its marks', () => {
    expect(
      parts(
        'hi @Ada :wave: see nodi.example/a!',
        { from: 3, len: 4, is: 'mention', user: 'id-Ada' },
        { from: 8, len: 6, is: 'emote', name: 'wave', url: '/site/v1/emotes/wave.png' },
        { from: 19, len: 14, is: 'link', url: 'https://nodi.example/a' },
      ),
    ).toEqual([
      'text:hi ',
      'mention:@Ada',
      'text: ',
      'emote::wave:',
      'text: see ',
      'link:nodi.example/a',
      'text:!',
    ]);
  });

  it('without marks is text, whatever it looks like', () => {
    expect(parts('<img src=x onerror=alert(1)> https://x.example :wave:')).toEqual([
      'text:<img src=x onerror=alert(1)> https://x.example :wave:',
    ]);
  });

  it('passes marks over that do not fit', () => {
    const mention = (from: number, len: number): Mark => ({ from, len, is: 'mention', user: 'x' });
    expect(parts('hello', mention(3, 5))).toEqual(['text:hello']);
    expect(parts('hello', mention(-1, 3))).toEqual(['text:hello']);
    expect(parts('hello', mention(2, 0))).toEqual(['text:hello']);
    expect(parts('hello', mention(Number.NaN, 2))).toEqual(['text:hello']);
    expect(parts('hello', mention(1, 2), mention(2, 2))).toEqual(['text:h', 'mention:el', 'text:lo']);
    expect(parts('hello', { from: 0, len: 2, is: 'script', url: 'x' } as unknown as Mark)).toEqual([
      'text:hello',
    ]);
  });
});

describe('a link', () => {
  it('leads to the web', () => {
    expect(linkUrl('https://a.example/x?y=1#z', 'https://a.example/x?y=1#z')).toBe(
      'https://a.example/x?y=1#z',
    );
    expect(linkUrl('http://a.example', 'a.example')).toBe('http://a.example/');
  });

  it.each([
    ['javascript:alert(1)', 'javascript:alert(1)'],
    ['data:text/html,x', 'data:text/html,x'],
    ['https://ada:pw@a.example/', 'https://ada:pw@a.example/'],
    ['https://evil.example/', 'https://bank.example/'],
    ['https://evil.example/', 'click here'],
    ['//a.example', 'a.example'],
    ['not a url', 'not a url'],
  ])('%s behind “%s” is none', (url, words) => {
    expect(linkUrl(url, words)).toBeNull();
  });
});

describe('an emote', () => {
  it('comes from the page’s own origin', () => {
    expect(emoteUrl('/site/v1/channels/demo/emotes/a/1.png', HERE)).toBe(
      '/site/v1/channels/demo/emotes/a/1.png',
    );
    expect(emoteUrl(`${HERE}/emotes/a.svg?v=2`, HERE)).toBe('/emotes/a.svg?v=2');
  });

  it.each([
    'https://evil.example/a.png',
    '//evil.example/a.png',
    'javascript:alert(1)',
    'data:image/png,x',
    'https://',
  ])('does not come from %s', (url) => {
    expect(emoteUrl(url, HERE)).toBeNull();
  });
});

describe('characters', () => {
  it('are counted as people see them', () => {
    expect(graphemes('')).toBe(0);
    expect(graphemes('abc')).toBe(3);
    expect(graphemes('👨‍👩‍👧‍👦🇮🇹é')).toBe(3);
    expect(utf8Length('é👍')).toBe(6);
  });

  it('are cut between, not through', () => {
    expect(cut('short', 10)).toBe('short');
    expect(cut('👨‍👩‍👧‍👦🇮🇹abc', 2)).toBe('👨‍👩‍👧‍👦🇮🇹…');
  });
});
