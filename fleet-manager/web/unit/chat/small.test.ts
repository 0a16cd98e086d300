import { describe, expect, it } from 'vitest';

import { announcement, isAbout } from '../../src/chat/announce';
import { contrast, nameColor } from '../../src/chat/color';
import { commandOf, commandsFor } from '../../src/chat/commands';
import { accept, complete, type Known } from '../../src/chat/complete';
import type { MessageRow } from '../../src/chat/log';
import { People } from '../../src/chat/people';
import { didWords } from '../../src/chat/moderation/log-words';
import { parsePreferences } from '../../src/chat/preferences';
import { readFrame, type Message } from '../../src/chat/protocol';
import { retryMs } from '../../src/chat/retry';
import { modes, span } from '../../src/chat/settings-words';
import { chatUrl } from '../../src/chat/surroundings';
import { againWords, clockTime, connectionWords, left, sentence } from '../../src/chat/words';
import { settings, user } from './fake';

describe('colours of names', () => {
  const rgb = (css: string) => css.match(/\d+/g)?.map(Number) as [number, number, number];

  it('can be read by day and by night, whatever was chosen', () => {
    const chosen = [
      '#000000',
      '#ffffff',
      '#ff0000',
      '#00ff00',
      '#0000ff',
      '#ffff00',
      '#808080',
      '#0a6f90',
      undefined,
    ];
    for (const color of chosen) {
      const { light, dark } = nameColor(color, 'somebody');
      expect(contrast(rgb(light), [0xe4, 0xec, 0xf3]), `${color} by day`).toBeGreaterThanOrEqual(4.5);
      expect(contrast(rgb(dark), [0x1e, 0x2a, 0x36]), `${color} by night`).toBeGreaterThanOrEqual(4.5);
    }
  });

  it('stay as chosen where they can', () => {
    expect(nameColor('#800000', 'x').light).toBe('rgb(128 0 0)');
    expect(nameColor('#ffffff', 'x').dark).toBe('rgb(255 255 255)');
  });

  it('are the account’s own without a choice, or with a bad one', () => {
    expect(nameColor(undefined, 'a')).toEqual(nameColor('url(x)', 'a'));
    expect(nameColor(undefined, 'a')).not.toEqual(nameColor(undefined, 'b'));
  });
});

describe('completion', () => {
  const known: Known = {
    role: 'viewer',
    emotes: ['wave', 'water', 'microwave'].map((name) => ({ name, url: `/e/${name}.svg` })),
    people: [user('Ada'), user('Adam'), user('Bob')],
  };
  const labels = (text: string, more: Partial<Known> = {}) =>
    complete(text, text.length, { ...known, ...more })?.suggestions.map(({ label }) => label) ?? null;

  it('offers emotes after a colon and two letters', () => {
    expect(labels('hi :wat')).toEqual([':water:']);
    expect(labels(':wave')).toEqual([':wave:', ':microwave:']);
    expect(labels('hi :w')).toBeNull();
    expect(labels('at 12:30')).toBeNull();
    expect(labels(':wave::wat')).toEqual([':water:']);
  });

  it('offers names after @, and after a command about somebody', () => {
    expect(labels('@ad')).toEqual(['@Ada', '@Adam']);
    expect(labels('mail@ad')).toBeNull();
    expect(labels('/timeout ad')).toEqual(['Ada', 'Adam']);
  });

  it('offers the commands of one’s role, in front only', () => {
    expect(labels('/')).toEqual(['/me text', '/help [command]']);
    expect(labels('/tim', { role: 'moderator' })).toEqual(['/timeout name 10m [reason]']);
    expect(labels('a /tim', { role: 'moderator' })).toBeNull();
    expect(labels('/mod', { role: 'moderator' })).toEqual(['/mods']);
    expect(labels('/mod', { role: 'streamer' })).toContain('/mod name');
  });

  it('puts what was chosen in place of what was typed', () => {
    const text = 'hi :wat there';
    const completion = complete(text, 7, known);
    const [first] = completion?.suggestions ?? [];
    if (completion === null || first === undefined) throw new Error('nothing offered');
    expect(accept(text, completion, first)).toEqual({ text: 'hi :water: there', cursor: 11 });
  });

  it('knows which command is being written', () => {
    expect(commandOf('/timeout Ada', 'moderator')?.name).toBe('timeout');
    expect(commandOf('/timeout Ada', 'viewer')).toBeNull();
    expect(commandsFor('streamer').length).toBeGreaterThan(commandsFor('moderator').length);
  });
});

describe('people', () => {
  it('are the last who spoke, and not more than some', () => {
    const people = new People();
    for (let i = 0; i < 1_000; i += 1) people.saw(user(`n${i}`));
    people.saw(user('n900'));
    expect(people.list.length).toBe(500);
    expect(people.list[0]?.name).toBe('n900');
    expect(people.get('id-n1')).toBeNull();
  });
});

describe('what is read out', () => {
  const row = (name: string, text: string, more: Partial<Message> = {}): MessageRow => ({
    kind: 'message',
    key: `${name}${text}`,
    atMs: 0,
    message: { user: user(name), text, ...more },
    gone: null,
    past: false,
  });

  it('is all while it is little, without one’s own', () => {
    expect(
      announcement([row('Ada', 'hi'), row('Me', 'hello'), row('Bob', 'waves', { me: true })], 'id-Me'),
    ).toEqual(['Ada: hi', 'Bob waves']);
  });

  it('is a number when it is much, and what is about the listener', () => {
    const many = Array.from({ length: 40 }, (_, i) => row('Ada', `message ${i}`));
    const about = row('Bob', '@Me look', { marks: [{ from: 0, len: 3, is: 'mention', user: 'id-Me' }] });
    expect(isAbout(about, 'id-Me')).toBe(true);
    expect(isAbout(about, null)).toBe(false);
    expect(announcement([...many, about], 'id-Me')).toEqual(['Bob: @Me look', '40 new messages']);
  });
});

describe('words', () => {
  const now = new Date(2026, 5, 1, 14, 24).getTime();

  it('say at what time something ends', () => {
    expect(clockTime(now + 8 * 60_000, now)).toBe('14:32');
    expect(clockTime(now + 86_400_000, now)).toBe('2 Jun, 14:24');
    const midnight = new Date(2026, 5, 2).getTime();
    expect(clockTime(midnight + 300_000, midnight - 300_000)).toBe('00:05');
  });

  it('say how long something lasts', () => {
    expect([0, 900, 59_000, 3_599_000, 3_600_000, 90_000_000].map(left)).toEqual([
      '0:00',
      '0:01',
      '0:59',
      '59:59',
      '1:00:00',
      '1 d 1 h',
    ]);
    expect([1, 90, 120, 3_600, 604_800].map(span)).toEqual([
      '1 second',
      '90 seconds',
      '2 minutes',
      '1 hour',
      '7 days',
    ]);
  });

  it('are sentences, and say how long to wait', () => {
    expect(sentence('slow mode: you may speak again in 10 seconds')).toBe(
      'Slow mode: you may speak again in 10 seconds.',
    );
    expect(sentence('What?')).toBe('What?');
    expect([9, 120, 7_200].map(againWords)).toEqual(['9 s left.', '2 minutes left.', '2 hours left.']);
    expect(['timeout', 'slow', 'toString'].map(didWords)).toEqual(['timed out', 'set slow', 'set toString']);
  });

  it('say how the connection is', () => {
    expect(connectionWords({ is: 'open' }, now)).toBeNull();
    expect(connectionWords({ is: 'waiting', untilMs: now + 3_000, code: 1006 }, now)).toEqual({
      title: 'The chat is not reachable',
      detail: 'Trying again in 3 s.',
      retry: true,
    });
    expect(connectionWords({ is: 'ended', code: 4001, reason: '' }, now)?.title).toBe(
      'There is no chat here',
    );
  });

  it('say which modes are in force', () => {
    expect(modes(settings())).toEqual([]);
    expect(
      modes(settings({ slow_s: 10, followers_s: 600, off: true, links: 'hold' })).map(({ name }) => name),
    ).toEqual(['Chat off', 'Slow 10 s', 'Followers 10 min', 'Links checked']);
  });
});

describe('small things', () => {
  it('the chat is beside the page', () => {
    expect(chatUrl({ protocol: 'https:', host: 'nodi.example' })).toBe('wss://nodi.example/chat/ws');
    expect(chatUrl({ protocol: 'http:', host: '127.0.0.1:8080' })).toBe('ws://127.0.0.1:8080/chat/ws');
  });

  it('waits are spread', () => {
    expect(retryMs(0, 1006, false, 0)).toBe(250);
    expect(retryMs(0, 1006, false, 0.999)).toBe(750);
    expect(retryMs(100, 1006, false, 0.5)).toBe(30_000);
  });

  it('what the storage holds is not trusted', () => {
    const first = parsePreferences(null);
    expect(parsePreferences('{"size":"huge","timestamps":1,"inTime":"yes"}')).toEqual(first);
    expect(parsePreferences('{')).toEqual(first);
    expect(parsePreferences('{"size":"large","timestamps":true}')).toEqual({
      ...first,
      size: 'large',
      timestamps: true,
    });
  });

  it('a frame is an object with a type', () => {
    expect(readFrame('{"t":"counts","viewers":1,"chatters":0}')).toMatchObject({ t: 'counts' });
    expect(readFrame('"t"')).toBeNull();
  });
});
