import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { ChatClient, OPENING_MS, SILENCE_MS, type News } from '../../src/chat/client';
import { SAY_PATIENCE_MS } from '../../src/chat/outbox';
import { SUBPROTOCOL } from '../../src/chat/protocol';
import type { Token } from '../../src/chat/tokens';
import { FakeBrowser, id, message, settled, you } from './fake';

const HOUR = 3_600_000;

let around: FakeBrowser;
let client: ChatClient;
let news: News[];
/** What the token server answers; an error: it is down. */
let token: Token | null | Error;
let asked: number;

beforeEach(() => {
  around = new FakeBrowser();
  news = [];
  asked = 0;
  token = null;
  client = new ChatClient({
    channel: 'demo',
    url: 'ws://here/chat/ws',
    around,
    token: async () => {
      asked += 1;
      if (token instanceof Error) throw token;
      return token;
    },
    on: (item) => news.push(item),
  });
});

afterEach(() => {
  client.stop();
  expect(around.pending, 'no timer outlives the client').toBe(0);
});

const signIn = (name = 'token-1', lifetimeMs = HOUR) => {
  token = { token: name, expires_ms: around.now() + lifetimeMs };
};
const me = () => you('Me', around.now() + HOUR);
const ids = () => news.flatMap((item) => (item.is === 'events' ? item.events.map((event) => event.id) : []));
/** Waits out the pause before the next attempt. */
const again = async () => {
  const { connection } = client;
  if (connection.is !== 'waiting') throw new Error(`it is ${connection.is}`);
  await around.pass(connection.untilMs - around.now());
};
/** Time passes in which the service is heard. */
const alive = async (ms: number) => {
  for (let left = ms; left > 0; left -= 10_000) {
    around.socket.hear({ t: 'counts', viewers: 1, chatters: 1 });
    await around.pass(Math.min(left, 10_000));
  }
};
const open = async (as = token === null ? null : me()) => {
  client.start();
  await settled();
  around.socket.welcome(as);
  await settled();
};

describe('joining', () => {
  it('asks for the version that it speaks, and reads without an account', async () => {
    await open();
    expect(around.socket.subprotocol).toBe(SUBPROTOCOL);
    expect(around.socket.sent).toEqual([{ t: 'join', channel: 'demo' }]);
    expect(client.connection).toEqual({ is: 'open' });
    const outcome = await client.say('hello');
    expect(outcome).toMatchObject({ is: 'refused', refused: { code: 'unauthenticated' } });
  });

  it('brings its token along, or sends it once it has it', async () => {
    signIn();
    client.start();
    await settled();
    around.socket.welcome(me());
    expect(around.socket.of('join')[0]).toMatchObject({ token: 'token-1' });
    expect(around.socket.of('auth')).toEqual([]);
  });

  it('does not wait for a token to read', async () => {
    let deliver: (token: Token) => void = () => {};
    const late = new ChatClient({
      channel: 'demo',
      url: 'ws://here/chat/ws',
      around,
      token: () => new Promise((resolve) => (deliver = resolve)),
      on: (item) => news.push(item),
    });
    late.start();
    around.socket.welcome(null);
    deliver({ token: 'late', expires_ms: around.now() + HOUR });
    await settled();
    expect(around.socket.sent).toEqual([
      { t: 'join', channel: 'demo' },
      { t: 'auth', token: 'late' },
    ]);
    late.stop();
  });

  it('gives up what does not open', async () => {
    client.start();
    const [first] = around.sockets;
    await around.pass(OPENING_MS);
    expect(first?.closed).toBe(true);
    expect(client.connection.is).toBe('waiting');
  });
});

describe('coming back', () => {
  it('names the last event that it has, and shows none twice', async () => {
    await open();
    around.socket.hear({ t: 'history', events: [message(1), message(2)], gap: false });
    around.socket.hear(message(3));
    around.socket.end();
    await again();
    around.socket.welcome();
    expect(around.socket.of('join')[0]).toMatchObject({ after: id(3) });
    around.socket.hear({ t: 'history', events: [message(3), message(4)], gap: false });
    around.socket.hear(message(4));
    around.socket.hear(message(5));
    expect(ids()).toEqual([1, 2, 3, 4, 5].map(id));
    expect(news.filter((item) => item.is === 'events' && item.gap)).toEqual([]);
  });

  it('says that something is missing when too much was missed', async () => {
    await open();
    around.socket.hear(message(1));
    around.socket.end();
    await again();
    around.socket.welcome();
    around.socket.hear({ t: 'history', events: [message(500)], gap: true });
    expect(news.at(-1)).toMatchObject({ is: 'events', gap: true, past: true });
  });

  it('waits longer each time, and less again after a good connection', async () => {
    client.start();
    const waits: number[] = [];
    for (let i = 0; i < 12; i += 1) {
      around.socket.end();
      const { connection } = client;
      if (connection.is === 'waiting') waits.push(connection.untilMs - around.now());
      await again();
    }
    expect(waits[0]).toBe(500);
    expect(waits).toEqual([...waits].sort((a, b) => a - b));
    expect(waits.at(-1)).toBe(30_000);
    around.socket.welcome();
    await around.pass(20_000);
    around.socket.end();
    expect(client.connection).toMatchObject({ is: 'waiting', untilMs: around.now() + 500 });
  });

  it('does not hammer a service that ends each connection at once', async () => {
    client.start();
    for (let i = 0; i < 5; i += 1) {
      around.socket.welcome();
      around.socket.end(1001);
      await again();
    }
    around.socket.end(1001);
    const { connection } = client;
    expect(connection.is === 'waiting' && connection.untilMs - around.now()).toBeGreaterThan(5_000);
  });

  it('tries at once when the network or the viewer comes back', async () => {
    await open();
    around.socket.end();
    around.change({ online: false });
    expect(client.connection.is).toBe('offline');
    around.change({ online: true });
    expect(around.sockets.length).toBe(2);
    around.socket.end();
    around.change({ hidden: true });
    expect(around.sockets.length).toBe(2);
    around.change({ hidden: false });
    expect(around.sockets.length).toBe(3);
  });

  it('reaches a service on its own machine without a network', async () => {
    around.change({ online: false });
    await open();
    expect(client.connection.is).toBe('open');
    around.socket.end();
    expect(client.connection.is).toBe('offline');
    await around.pass(500);
    expect(around.sockets.length).toBe(2);
  });

  it('is in no hurry while nobody looks', async () => {
    await open();
    around.change({ hidden: true });
    around.socket.end();
    expect(client.connection).toMatchObject({ is: 'waiting', untilMs: around.now() + 10_000 });
  });

  it('stays away from where it is not wanted, until it is told to try', async () => {
    await open();
    around.socket.end(4006, 'your address is banned');
    expect(client.connection).toEqual({ is: 'ended', code: 4006, reason: 'your address is banned' });
    await around.pass(HOUR);
    expect(around.sockets.length).toBe(1);
    client.retry();
    expect(around.sockets.length).toBe(2);
  });

  it('waits long when it broke a rule or there are too many', async () => {
    for (const code of [1002, 1008, 1009, 4003]) {
      client.start();
      around.socket.end(code);
      const { connection } = client;
      expect(connection.is === 'waiting' && connection.untilMs - around.now()).toBe(30_000);
      client.stop();
    }
  });
});

describe('a dead connection', () => {
  it('is given up after silence', async () => {
    await open();
    const [first] = around.sockets;
    await around.pass(SILENCE_MS - 1_000);
    first?.hear({ t: 'counts', viewers: 2, chatters: 1 });
    await around.pass(SILENCE_MS - 1_000);
    expect(client.connection.is).toBe('open');
    await around.pass(1_000);
    expect(client.connection.is).toBe('waiting');
    expect(first?.closed).toBe(true);
    // What it may still deliver comes too late.
    const heard = news.length;
    first?.hear(message(9));
    first?.end();
    expect(news.length).toBe(heard);
  });

  it('is noticed at once when the machine wakes', async () => {
    await open();
    around.change({ hidden: true });
    around.timeMs += HOUR; // Asleep: no timer ran.
    around.change({ hidden: false });
    expect(client.connection.is).toBe('waiting');
  });
});

describe('saying', () => {
  beforeEach(async () => {
    signIn();
    await open();
  });

  it('resolves to the id of the message', async () => {
    const outcome = client.say('hello', id(7));
    const [say] = around.socket.of('say');
    expect(say).toMatchObject({ text: 'hello', reply_to: id(7) });
    expect(say?.nonce.length).toBeLessThanOrEqual(64);
    around.socket.hear({ t: 'said', nonce: say?.nonce, id: id(8) });
    expect(await outcome).toEqual({ is: 'said', id: id(8) });
  });

  it('says it once, with one nonce, however often the connection is lost', async () => {
    const outcome = client.say('hello');
    const nonce = around.socket.of('say')[0]?.nonce;
    for (let i = 0; i < 3; i += 1) {
      around.socket.end();
      await again();
      around.socket.welcome(me());
      await settled();
      expect(around.socket.of('say').map((say) => say.nonce)).toEqual([nonce]);
    }
    around.socket.hear({ t: 'said', nonce, id: id(8) });
    expect(await outcome).toEqual({ is: 'said', id: id(8) });
    around.socket.end();
    await again();
    around.socket.welcome(me());
    expect(around.socket.of('say')).toEqual([]);
  });

  it('keeps what is said while there is no connection, in order', async () => {
    around.socket.end();
    void client.say('one');
    void client.say('two');
    expect(news.at(-1)).toMatchObject({ is: 'sending', sending: [{ text: 'one' }, { text: 'two' }] });
    await again();
    around.socket.welcome(me());
    expect(around.socket.of('say').map(({ text }) => text)).toEqual(['one', 'two']);
  });

  it('gives it back after a minute', async () => {
    around.socket.end(4003);
    const outcome = client.say('hello');
    await around.pass(SAY_PATIENCE_MS);
    expect(await outcome).toMatchObject({ is: 'refused', refused: { code: 'unavailable' } });
    expect(news.findLast((item) => item.is === 'sending')).toMatchObject({ sending: [] });
  });

  it('does not pile up', async () => {
    const outcomes = Array.from({ length: 6 }, (_, i) => client.say(`message ${i}`));
    expect(await outcomes[5]).toMatchObject({ is: 'refused', refused: { code: 'rate' } });
    expect(around.socket.of('say').length).toBe(5);
  });

  it('hands on why it was refused and for how long', async () => {
    const outcome = client.say('hello');
    const nonce = around.socket.of('say')[0]?.nonce;
    around.socket.hear({ t: 'refused', nonce, code: 'slow', text: 'Slow mode: wait 8 s.', retry_ms: 8_000 });
    expect(await outcome).toEqual({
      is: 'refused',
      refused: { t: 'refused', nonce, code: 'slow', text: 'Slow mode: wait 8 s.', retry_ms: 8_000 },
    });
  });

  it('acts as soon as it may', async () => {
    client.stop();
    let deliver: (token: Token) => void = () => {};
    const late = new ChatClient({
      channel: 'demo',
      url: 'ws://here/chat/ws',
      around,
      token: () => new Promise((resolve) => (deliver = resolve)),
      on: () => {},
    });
    late.start();
    around.socket.welcome(null);
    const outcome = late.do({ do: 'moderators' });
    expect(around.socket.of('do')).toEqual([]);
    deliver({ token: 'late', expires_ms: around.now() + HOUR });
    await settled();
    around.socket.hear({ t: 'you', you: me() });
    const [action] = around.socket.of('do');
    around.socket.hear({
      t: 'done',
      nonce: action?.nonce,
      text: '',
      answer: { is: 'moderators', users: [] },
    });
    expect(await outcome).toMatchObject({ is: 'done' });
    late.stop();
  });

  it('does not repeat what a button did', async () => {
    const outcome = client.do({ do: 'clear' });
    around.socket.end();
    expect(await outcome).toMatchObject({ is: 'refused', refused: { code: 'unavailable' } });
    await again();
    around.socket.welcome(me());
    expect(around.socket.of('do')).toEqual([]);
  });
});

describe('the token', () => {
  it('is renewed before it expires', async () => {
    signIn();
    await open();
    token = { token: 'token-2', expires_ms: around.now() + 2 * HOUR };
    await alive(HOUR - 310_000);
    expect(asked).toBe(1);
    await alive(20_000);
    expect(asked).toBe(2);
    expect(around.sockets.length).toBe(1);
    expect(around.socket.of('auth')).toEqual([{ t: 'auth', token: 'token-2' }]);
  });

  it('goes on being good while the server that issues it is down', async () => {
    signIn();
    await open();
    token = new Error('down');
    around.socket.end();
    await again();
    expect(asked).toBe(1);
    around.socket.onopen?.();
    expect(around.socket.of('join')[0]).toMatchObject({ token: 'token-1' });
  });

  it('is asked for again and again when it cannot be had, and then used', async () => {
    token = new Error('down');
    client.start();
    await settled();
    around.socket.welcome();
    expect(news.at(-1)).not.toMatchObject({ is: 'trouble', trouble: false });
    expect(news).toContainEqual({ is: 'trouble', trouble: true });
    const outcome = client.say('hello');
    signIn();
    await around.pass(2_000);
    expect(news).toContainEqual({ is: 'trouble', trouble: false });
    expect(around.socket.of('auth')).toEqual([{ t: 'auth', token: 'token-1' }]);
    around.socket.hear({ t: 'you', you: me() });
    const [say] = around.socket.of('say');
    around.socket.hear({ t: 'said', nonce: say?.nonce, id: id(1) });
    expect(await outcome).toMatchObject({ is: 'said' });
  });

  it('is replaced when the service does not take it, and what was said is said then', async () => {
    signIn();
    await open();
    const outcome = client.say('hello');
    const first = around.socket.of('say')[0]?.nonce;
    signIn('token-2');
    around.socket.hear({
      t: 'refused',
      nonce: first,
      code: 'unauthenticated',
      text: 'The token has expired.',
    });
    await around.pass(1_000);
    expect(around.socket.of('auth')).toEqual([{ t: 'auth', token: 'token-2' }]);
    around.socket.hear({ t: 'you', you: me() });
    const [, say] = around.socket.of('say');
    expect(say).toMatchObject({ text: 'hello' });
    expect(say?.nonce).not.toBe(first);
    around.socket.hear({ t: 'said', nonce: say?.nonce, id: id(1) });
    expect(await outcome).toEqual({ is: 'said', id: id(1) });
  });

  it('is asked for ever less often when none is ever taken', async () => {
    signIn();
    client.start();
    await settled();
    around.socket.welcome(null);
    for (let i = 0; i < 60; i += 1) {
      around.socket.hear({ t: 'you', you: null });
      await around.pass(1_000);
    }
    expect(asked).toBeGreaterThan(2);
    expect(asked).toBeLessThan(12);
  });

  it('changes with the account', async () => {
    signIn();
    await open();
    token = null;
    client.accountChanged();
    await settled();
    expect(around.socket.of('auth')).toEqual([{ t: 'auth', token: null }]);
    around.socket.hear({ t: 'you', you: null });
    expect(await client.say('hello')).toMatchObject({ is: 'refused', refused: { code: 'unauthenticated' } });
    signIn('token-2');
    client.accountChanged();
    await settled();
    expect(around.socket.of('auth').at(-1)).toEqual({ t: 'auth', token: 'token-2' });
  });
});

describe('what is no frame', () => {
  it('is passed over', async () => {
    await open();
    for (const data of ['', 'null', '[]', '{}', '{"t":1}', '{"t":"later"}', '{', new ArrayBuffer(2)]) {
      around.socket.onmessage?.({ data });
    }
    expect(client.connection.is).toBe('open');
  });
});
