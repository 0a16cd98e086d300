import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { Room } from '../../src/chat/room.svelte';
import { FakeBrowser, id, message, settings, settled, user, you } from './fake';

let around: FakeBrowser;
let room: Room;
/** Seconds from the streamer to the screen. */
let latency: number | null;

beforeEach(async () => {
  around = new FakeBrowser();
  vi.useFakeTimers({ now: around.timeMs });
  vi.stubGlobal('location', { origin: 'http://here', protocol: 'http:', host: 'here' });
  vi.stubGlobal('requestAnimationFrame', (then: () => void) => setTimeout(then, 16));
  vi.stubGlobal('cancelAnimationFrame', (frame: ReturnType<typeof setTimeout>) => clearTimeout(frame));
  latency = null;
  room = new Room(
    'demo',
    async () => ({ token: 'token', expires_ms: around.timeMs + 3_600_000 }),
    () => latency,
    around,
  );
  room.start();
  await settled();
});

afterEach(() => {
  room.stop();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

const me = (more = {}) => ({ ...you('Me', around.timeMs + 3_600_000), ...more });
const moderator = () => me({ user: user('Me', { role: 'moderator' }) });
const shown = () => room.log.rows.map(({ key }) => key);
const now = (number: number) => ({ ...message(number), at_ms: around.timeMs });
const pass = (ms: number) => {
  around.timeMs += ms;
  vi.advanceTimersByTime(ms);
};

describe('messages in time with the video', () => {
  it('come as much later as the picture is', () => {
    around.socket.welcome(me());
    latency = 3;
    room.keepTime(true);
    around.socket.hear(now(1));
    pass(1_000);
    around.socket.hear(now(2));
    pass(1_800);
    expect(shown()).toEqual([]);
    pass(400);
    expect(shown()).toEqual([id(1)]);
    pass(1_000);
    expect(shown()).toEqual([id(1), id(2)]);
  });

  it('come at once while nothing plays, and all when it is switched off', () => {
    around.socket.welcome(me());
    room.keepTime(true);
    around.socket.hear(now(1));
    expect(shown()).toEqual([id(1)]);
    latency = 20;
    around.socket.hear(now(2));
    pass(1_000);
    expect(shown()).toEqual([id(1)]);
    room.keepTime(false);
    expect(shown()).toEqual([id(1), id(2)]);
  });

  it('are counted by the service’s clock, not by this machine’s', () => {
    around.socket.welcome(me(), { now_ms: around.timeMs + 60_000 });
    latency = 3;
    room.keepTime(true);
    around.socket.hear({ ...message(1), at_ms: around.timeMs + 60_000 });
    pass(2_600);
    expect(shown()).toEqual([]);
    pass(600);
    expect(shown()).toEqual([id(1)]);
  });
});

describe('the list', () => {
  it('is drawn once for a frame, however much comes', () => {
    around.socket.welcome(me());
    const before = room.version;
    for (let i = 1; i <= 500; i += 1) around.socket.hear(message(i));
    expect(room.version).toBe(before);
    vi.advanceTimersByTime(16);
    expect(room.version).toBe(before + 1);
    vi.advanceTimersByTime(1_000);
    expect(room.version).toBe(before + 1);
  });
});

describe('who the viewer is', () => {
  it('says what they may do, and that outlives a lost connection', async () => {
    around.socket.welcome(moderator());
    expect(room.moderates).toBe(true);
    expect(room.mayJudge(user('Bob'))).toBe(true);
    expect(room.mayJudge(user('Me'))).toBe(false);
    expect(room.mayJudge(user('Other', { role: 'moderator' }))).toBe(false);
    around.socket.end();
    expect(room.moderates).toBe(true);
    expect(await room.act({ do: 'clear' })).toBe(false);
    expect(room.notice?.text).toBe('The chat is not connected.');
  });

  it('asks for what is held, once for each connection', async () => {
    around.socket.welcome(moderator());
    around.socket.hear({ t: 'you', you: moderator() });
    const asked = around.socket.of('do');
    expect(asked.map(({ action }) => action.do)).toEqual(['held']);
    const held = { id: id(5), at_ms: 0, message: { user: user('Bob'), text: 'x' }, why: 'a term' };
    around.socket.hear({ t: 'done', nonce: asked[0]?.nonce, text: '', answer: { is: 'held', held: [held] } });
    await settled();
    expect(room.waiting.length).toBe(1);
    around.socket.hear({ t: 'reviewed', id: id(5), allowed: false });
    expect(room.waiting).toEqual([]);
    around.socket.hear({ t: 'held', held });
    around.socket.hear({ t: 'you', you: me() });
    expect(room.waiting, 'no moderator any more').toEqual([]);
  });

  it('is silenced and freed by what happens, not by what happened', () => {
    around.socket.welcome(me());
    const by = user('Mo', { role: 'moderator' });
    const restricted = { at_ms: 1, t: 'restricted', user: user('Me'), until_ms: 9, by } as const;
    around.socket.hear({ t: 'history', events: [{ ...restricted, id: id(1) }], gap: false });
    expect(room.you?.restriction).toBeUndefined();
    around.socket.hear({ ...restricted, id: id(2) });
    expect(room.you?.restriction).toEqual({ until_ms: 9 });
    around.socket.hear({ id: id(3), at_ms: 2, t: 'released', user: user('Me'), by });
    expect(room.you?.restriction).toBeUndefined();
  });
});

describe('slow mode', () => {
  it('keeps the next message back, but not a moderator’s', async () => {
    around.socket.welcome(me(), { settings: settings({ slow_s: 10 }) });
    const taken = room.say('hello');
    around.socket.hear({ t: 'said', nonce: around.socket.of('say')[0]?.nonce, id: id(1) });
    expect(await taken).toBe(true);
    expect(room.quietUntilMs).toBe(around.timeMs + 10_000);
    around.socket.hear({ id: id(2), at_ms: 1, t: 'settings', settings: settings(), by: user('Mo') });
    expect(room.quietUntilMs).toBe(0);
    around.socket.hear({ t: 'you', you: moderator() });
    around.socket.hear({
      id: id(3),
      at_ms: 1,
      t: 'settings',
      settings: settings({ slow_s: 10 }),
      by: user('Mo'),
    });
    const again = room.say('hello');
    around.socket.hear({ t: 'said', nonce: around.socket.of('say')[1]?.nonce, id: id(4) });
    await again;
    expect(room.quietUntilMs).toBe(0);
  });
});
