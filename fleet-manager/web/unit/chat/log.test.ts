import { beforeEach, describe, expect, it } from 'vitest';

import { MessageLog, MOST_HELD, MOST_ROWS, MOST_ROWS_READING } from '../../src/chat/log';
import { id, message, settings, user } from './fake';

let log: MessageLog;
beforeEach(() => (log = new MessageLog()));

const by = user('Mo', { role: 'moderator' });
const at = (number: number) => ({ id: id(number), at_ms: number * 1_000 });
const texts = () =>
  log.rows.map((row) => {
    if (row.kind !== 'message') return row.kind === 'note' ? `* ${row.text}` : '…';
    return row.gone === null ? row.message.text : `(${row.gone.why})`;
  });

describe('the list', () => {
  it('is bounded, and longer for who reads further up', () => {
    for (let i = 0; i < 10_000; i += 1) log.apply(message(i));
    expect(log.rows.length).toBeLessThan(MOST_ROWS + 100);
    expect(log.appended).toBe(10_000);
    log.reading = true;
    for (let i = 10_000; i < 20_000; i += 1) log.apply(message(i));
    expect(log.rows.length).toBeGreaterThanOrEqual(MOST_ROWS_READING);
    expect(log.rows.length).toBeLessThan(MOST_ROWS_READING + 100);
    log.reading = false;
    log.apply(message(20_000));
    expect(log.rows.length).toBe(MOST_ROWS);
  });

  it('says where something is missing, but not at its beginning', () => {
    log.gap(0);
    log.apply(message(1));
    log.gap(2);
    log.apply(message(3));
    expect(texts()).toEqual(['message 1', '…', 'message 3']);
  });

  it('finds messages', () => {
    for (const number of [1, 2, 3]) log.apply(message(number, number === 2 ? 'Bob' : 'Ada'));
    expect(log.find(id(2))?.message.user.name).toBe('Bob');
    expect(log.find(id(9))).toBeNull();
    expect(log.indexOf(id(3))).toBe(2);
    expect(log.of('id-Ada').map(({ key }) => key)).toEqual([id(3), id(1)]);
  });
});

describe('moderation', () => {
  beforeEach(() => {
    log.apply(message(1, 'Ada'));
    log.apply(message(2, 'Bob'));
    log.apply(message(3, 'Ada'));
  });

  it('takes one message away', () => {
    log.apply({ ...at(4), t: 'deleted', message: id(1), by });
    expect(texts()).toEqual(['(deleted)', 'message 2', 'message 3']);
    expect(log.find(id(1))?.gone).toEqual({ why: 'deleted', by });
  });

  it('takes all of somebody away, but not what they say later', () => {
    log.apply({ ...at(4), t: 'purged', user: user('Ada') });
    log.apply(message(5, 'Ada'));
    expect(texts()).toEqual(['(purged)', 'message 2', '(purged)', 'message 5']);
  });

  it('tells moderators who was silenced', () => {
    log.apply({ ...at(4), t: 'restricted', user: user('Ada'), until_ms: 9, by });
    log.apply({ ...at(5), t: 'restricted', user: user('Bob'), by });
    expect(texts().slice(3)).toEqual(['* Ada was timed out by Mo.', '* Bob was banned by Mo.']);
    expect(log.rows.every((row) => row.kind !== 'note' || row.forModerators)).toBe(true);
    expect(texts().slice(0, 3)).toEqual(['(restricted)', '(restricted)', '(restricted)']);
  });

  it('clears', () => {
    log.apply({ ...at(4), t: 'cleared', by });
    log.apply(message(5));
    expect(texts()).toEqual(['* Mo cleared the chat.', 'message 5']);
  });

  it('says what a change of the settings means', () => {
    log.settings(settings());
    log.apply({ ...at(4), t: 'settings', settings: settings({ slow_s: 10, emotes_only: true }), by });
    log.apply({ ...at(5), t: 'settings', settings: settings({ slow_s: 30 }), by });
    log.apply({ ...at(6), t: 'settings', settings: settings({ raid_shield: false }), by });
    expect(texts().slice(3)).toEqual([
      '* One message every 10 seconds. Messages can hold nothing but emotes.',
      '* One message every 30 seconds. Messages can hold words again.',
      '* Slow mode is over.',
    ]);
  });
});

describe('in time with the video', () => {
  beforeEach(() => (log.holding = true));

  it('holds messages until the video is there', () => {
    for (const number of [1, 2, 3]) log.apply(message(number));
    expect(log.rows).toEqual([]);
    expect(log.release(2_000)).toBe(true);
    expect(texts()).toEqual(['message 1', 'message 2']);
    expect(log.release(2_500)).toBe(false);
    expect(log.held).toBe(1);
  });

  it('keeps the order, whatever the times say', () => {
    log.apply({ ...message(2), at_ms: 5_000 });
    log.apply({ ...message(3), at_ms: 1_000 });
    log.release(2_000);
    expect(texts()).toEqual([]);
    log.release(5_000);
    expect(texts()).toEqual(['message 2', 'message 3']);
  });

  it('never shows what was taken away meanwhile', () => {
    log.apply(message(1, 'Ada'));
    log.apply(message(2, 'Bob'));
    log.apply(message(3, 'Bob'));
    log.apply({ ...at(4), t: 'restricted', user: user('Bob'), by });
    log.apply({ ...at(5), t: 'deleted', message: id(1), by });
    log.release(Number.POSITIVE_INFINITY);
    expect(texts().slice(0, 3)).toEqual(['(deleted)', '(restricted)', '(restricted)']);
  });

  it('is bounded', () => {
    for (let i = 0; i < MOST_HELD + 10; i += 1) log.apply(message(i));
    log.release(0);
    expect(log.held).toBe(MOST_HELD);
    expect(log.rows.length).toBe(10);
  });

  it('lets go of everything when it is switched off', () => {
    log.apply(message(1));
    log.holding = false;
    log.apply(message(2)); // Not before the first one.
    log.release(Number.POSITIVE_INFINITY);
    log.apply(message(3));
    expect(texts()).toEqual(['message 1', 'message 2', 'message 3']);
  });
});
