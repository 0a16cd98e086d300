// The chat panel in its place beside the player. NODI_SCREENSHOTS names a folder for pictures of what the tests see.

import { join } from 'node:path';

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import type { Role, User } from '../../src/chat/protocol';
import { flaws } from '../axe';
import { ChatRoom } from '../chat/room';
import { open, type Opened } from './open';

const CHANNEL = '/watch/mara_paints';

let it_: Opened;
let room: ChatRoom;
let bob: User;
let mara: User;

async function enter(options: { role?: Role; signedIn?: boolean; phone?: boolean } = {}) {
  it_ = await open({ signedIn: options.signedIn ?? true, phone: options.phone ?? false });
  room = await ChatRoom.on(it_.page, options.role ?? 'viewer');
  bob = room.user('Bob', { color: '#2b2b2b' });
  mara = room.user('Mara_Paints', { role: 'streamer', color: '#ffe14d', badges: ['streamer'] });
}

async function visit() {
  await it_.page.goto(it_.site.url + CHANNEL);
  await feed().waitFor();
  await room.joined();
}

const feed = () => it_.page.getByLabel('Chat messages');
const rows = () => feed().getByRole('article');
const field = () => it_.page.getByRole('textbox', { name: 'Message' });
const chat = () => it_.page.getByRole('region', { name: 'Chat', exact: true });
const distance = () =>
  feed().evaluate((list) => Math.round(list.scrollHeight - list.scrollTop - list.clientHeight));

async function shoot(name: string) {
  const folder = process.env['NODI_SCREENSHOTS'];
  if (folder !== undefined) await it_.page.screenshot({ path: join(folder, `chat-${name}.png`) });
}

function conversation() {
  room.message(mara, 'Hello everybody! Tonight the harbour gets its lamps :party:');
  room.message(bob, 'finally :fire: :fire:');
  const question = room.message(
    room.user('Grace', { role: 'subscriber', badges: ['subscriber'] }),
    'Which blue is that?',
  );
  room.message(mara, 'Ultramarine with a little bone black', {
    reply: { id: question.id, user: room.user('Grace'), text: 'Which blue is that?' },
  });
  room.message(
    room.user('Linus', { role: 'moderator' }),
    'Rules are at https://nodi.example/rules, be kind.',
  );
  room.message(bob, 'waves at @Ada', { me: true });
  room.message(room.user('helper', { badges: ['bot'] }), 'The stream has been live for 2 h 21 min.');
  room.message(room.user('Newcomer'), 'first time here, this is lovely :heart:', { first: true });
}

afterEach(() => expect(it_.complaints).toEqual([]));

describe('who only watches', () => {
  beforeAll(async () => {
    await enter({ signedIn: false });
    conversation();
    await visit();
  });
  afterAll(() => it_.close());

  it('reads, and is offered to sign in', async () => {
    await rows().filter({ hasText: 'Which blue is that?' }).first().waitFor();
    expect(room.of('join')[0]).toEqual({ t: 'join', channel: 'mara_paints' });
    await chat().getByText('1,234').waitFor();
    expect(await field().count()).toBe(0);
    await chat().getByRole('button', { name: 'Sign in to chat' }).click();
    await it_.page.getByRole('dialog', { name: /Sign in/ }).waitFor();
    await it_.page.keyboard.press('Escape');
  });

  it('gets links and emotes as they were marked, and nothing else', async () => {
    const link = feed().getByRole('link', { name: 'https://nodi.example/rules' });
    expect(await link.getAttribute('rel')).toBe('noopener noreferrer nofollow ugc');
    expect(await link.getAttribute('target')).toBe('_blank');
    expect(await feed().getByRole('img', { name: ':fire:' }).count()).toBe(2);
    room.message(bob, '<img src=x onerror=alert(1)> :nope', {
      marks: [
        { from: 0, len: 4, is: 'emote', name: 'x', url: 'https://elsewhere.example/x.png' },
        { from: 5, len: 3, is: 'link', url: 'javascript:alert(1)' },
      ],
    });
    const row = rows().filter({ hasText: '<img src=x onerror=alert(1)> :nope' });
    await row.waitFor();
    expect(await row.getByRole('img').count()).toBe(0);
    expect(await row.getByRole('link').count()).toBe(0);
  });

  it('talks once signed in', async () => {
    await chat().getByRole('button', { name: 'Sign in to chat' }).click();
    const dialog = it_.page.getByRole('dialog', { name: /Sign in/ });
    await dialog.getByLabel('Name').fill('Ada');
    await dialog.getByLabel('Password').fill(it_.site.world.password);
    await it_.page.keyboard.press('Enter');
    await field().fill('hello');
    await expect.poll(() => room.of('auth')).toEqual([{ t: 'auth', token: 'token-of-mara_paints' }]);
    await it_.page.keyboard.press('Enter');
    await rows().filter({ hasText: 'Ada: hello' }).waitFor();
    expect(await field().inputValue()).toBe('');
  });
});

describe('a viewer', () => {
  beforeAll(async () => {
    await enter();
    conversation();
    await visit();
    await rows().first().waitFor();
  });
  afterAll(() => it_.close());

  it('sees who is meant, what is answered, and jumps there', async () => {
    await it_.page.locator('.about').filter({ hasText: 'waves at @Ada' }).waitFor();
    const reply = rows().filter({ hasText: 'Ultramarine' });
    await reply.getByRole('button', { name: /In answer to/ }).click();
    await it_.page.locator('.lit').filter({ hasText: 'Which blue is that?' }).waitFor();
    expect(await it_.page.evaluate('document.activeElement.textContent')).toContain('Which blue');
    await it_.page.keyboard.press('Escape');
    await it_.page.waitForFunction('document.activeElement.tagName === "TEXTAREA"');
  });

  it('answers', async () => {
    const row = rows().filter({ hasText: 'finally' });
    await row.hover();
    await row.getByRole('button', { name: 'Reply to Bob' }).click();
    await chat().getByText('Reply to Bob: finally').waitFor();
    await it_.page.keyboard.type('soon!');
    await it_.page.keyboard.press('Enter');
    await rows().filter({ hasText: '@Bob: finally' }).filter({ hasText: 'soon!' }).waitFor();
    expect(room.of('say').at(-1)?.reply_to).toBe(
      room.events.find((e) => e.t === 'message' && e.text.startsWith('finally'))?.id,
    );
  });

  it('completes emotes, names and commands', async () => {
    await field().pressSequentially(':par');
    await it_.page.getByRole('option', { name: ':party:' }).waitFor();
    await it_.page.keyboard.press('Tab');
    await field().pressSequentially('@gr');
    await it_.page.keyboard.press('Enter');
    expect(await field().inputValue()).toBe(':party: @Grace ');
    await field().fill('/');
    await field().press('End');
    await it_.page.getByRole('option', { name: '/me text' }).waitFor();
    expect(await it_.page.getByRole('option', { name: '/timeout' }).count()).toBe(0);
    await it_.page.keyboard.press('Escape');
    await field().fill('');
  });

  it('picks emotes with the keyboard', async () => {
    await chat().getByRole('button', { name: 'Emotes', exact: true }).click();
    await it_.page.getByRole('dialog', { name: 'Emotes' }).waitFor();
    await shoot('emotes');
    await it_.page.getByRole('searchbox', { name: 'Search emotes' }).fill('he');
    await it_.page.getByRole('button', { name: 'heart' }).focus();
    await it_.page.keyboard.press('Enter');
    await it_.page.getByRole('dialog', { name: 'Emotes' }).waitFor({ state: 'detached' });
    expect(await field().inputValue()).toBe(':heart: ');
    await field().fill('');
  });

  it('is told what was refused, and when to try again, and keeps the words', async () => {
    room.set({ slow_s: 30 }, mara);
    await it_.page.getByRole('listitem').filter({ hasText: 'Slow 30 s' }).waitFor();
    room.refusal = { code: 'slow', text: 'Slow mode is on.', retry_ms: 25_000 };
    await field().fill('too soon');
    await it_.page.keyboard.press('Enter');
    await chat()
      .getByText(/Slow mode is on\. 2\d s left/)
      .waitFor();
    await expect.poll(() => field().inputValue()).toBe('too soon');
    await chat()
      .getByRole('button', { name: /^Send, in \d+ seconds$/ })
      .waitFor();
    await shoot('slow');
    room.set({ slow_s: 0 }, mara);
    await chat().getByRole('button', { name: 'Send', exact: true }).waitFor();
    await chat().getByText('Slow mode is on.').waitFor({ state: 'detached' });
    await field().fill('');
  });

  it('counts characters as people do', async () => {
    await field().fill('👨‍👩‍👧‍👦'.repeat(170));
    await chat().getByText('This takes more than 4096 bytes.').waitFor();
    await field().fill('x'.repeat(510));
    await chat().getByText('10 characters too many').waitFor();
    expect(await chat().getByRole('button', { name: 'Send' }).isDisabled()).toBe(true);
    await field().fill('x'.repeat(490));
    await chat().getByText('10 left').waitFor();
    await field().fill('');
  });

  it('is told that it is timed out, until when and why, and that it is over', async () => {
    const by = room.user('Linus', { role: 'moderator' });
    const until = Date.now() + 492_000;
    room.message(room.me, 'something rude');
    await rows().filter({ hasText: 'something rude' }).waitFor();
    room.restriction = { until_ms: until, reason: 'be kind' };
    room.happen({ t: 'restricted', user: room.me, until_ms: until, reason: 'be kind', by });
    await chat()
      .getByText(/You are timed out until \d\d:\d\d/)
      .waitFor();
    await chat()
      .getByText(/\(8:1\d left\)/)
      .waitFor();
    await chat().getByText('Reason: be kind').waitFor();
    expect(await field().isDisabled()).toBe(true);
    await rows().filter({ hasText: 'message deleted by a moderator' }).first().waitFor();
    expect(await rows().filter({ hasText: 'something rude' }).count()).toBe(0);
    await shoot('timed-out');
    room.restriction = null;
    room.happen({ t: 'released', user: room.me, by });
    await chat()
      .getByText(/You are timed out/)
      .waitFor({ state: 'detached' });
    expect(await field().isDisabled()).toBe(false);
  });

  it('keeps what it says while the connection is down, says it once, and misses nothing', async () => {
    room.refuses = 1013;
    await room.hangUp();
    await chat().getByText('The chat is not reachable').waitFor();
    await field().fill('said into the dark');
    await it_.page.keyboard.press('Enter');
    await chat().getByText('Sending: said into the dark').waitFor();
    await chat().getByRole('button', { name: 'Try now' }).waitFor();
    await shoot('reconnecting');
    room.message(bob, 'while you were away');
    const before = room.of('join').length;
    room.refuses = null;
    await rows().filter({ hasText: 'while you were away' }).waitFor();
    await rows().filter({ hasText: 'Ada: said into the dark' }).waitFor();
    expect(room.of('join')[before]?.after).toBeDefined();
    expect(room.of('say').filter(({ text }) => text === 'said into the dark').length).toBe(1);
    expect(await chat().getByText('The chat is not reachable').count()).toBe(0);
    expect(await rows().filter({ hasText: 'while you were away' }).count()).toBe(1);
  });

  it('reads larger, with times, and in time with the video', async () => {
    await chat().getByRole('button', { name: 'Chat display' }).click();
    const sheet = it_.page.getByRole('dialog', { name: 'Chat display' });
    await sheet.getByRole('button', { name: 'Large', exact: true }).click();
    await sheet.getByLabel('Show when messages were written').check();
    await sheet.getByLabel('Messages in time with the video').check();
    await shoot('display');
    await it_.page.keyboard.press('Escape');
    await rows().first().locator('time').waitFor();
    room.message(bob, 'no video plays, so nothing waits');
    await rows().filter({ hasText: 'nothing waits' }).waitFor();
    await it_.page.reload();
    await rows().first().locator('time').waitFor();
  });

  it('hears new messages, until it pauses them', async () => {
    const spoken = chat().getByRole('log', { name: 'New messages' });
    room.message(bob, 'can you hear me');
    await spoken.getByText('Bob: can you hear me').waitFor();
    await chat().getByRole('button', { name: 'Pause reading out new messages' }).press('Enter');
    await spoken.getByText('Bob').waitFor({ state: 'detached' });
  });
});

describe('a moderator', () => {
  beforeAll(async () => {
    await enter({ role: 'moderator' });
    conversation();
    await visit();
    await rows().first().waitFor();
  });
  afterAll(() => it_.close());

  it('deletes a message, and can look at it again', async () => {
    const row = rows().filter({ hasText: 'finally' });
    await row.hover();
    await row.getByRole('button', { name: 'Delete this message' }).click();
    const taken = rows().filter({ hasText: 'message deleted by a moderator' });
    await taken.getByRole('button', { name: 'Show' }).click();
    await rows().filter({ hasText: 'finally' }).waitFor();
  });

  it('times somebody out and takes it back', async () => {
    room.message(room.user('Loud'), 'AAAAA');
    const row = rows().filter({ hasText: 'AAAAA' });
    await row.hover();
    await shoot('hover');
    await row.getByRole('button', { name: 'Time out Loud for 10m' }).click();
    await rows().filter({ hasText: 'Loud was timed out by Ada.' }).waitFor();
    await chat().getByRole('button', { name: 'Undo' }).click();
    await expect
      .poll(() => room.actions().slice(-2))
      .toEqual([
        { do: 'timeout', user: 'id-loud', seconds: 600 },
        { do: 'release', user: 'id-loud' },
      ]);
  });

  it('does not silence whom it may not', async () => {
    const row = rows().filter({ hasText: 'Ultramarine' });
    await row.hover();
    await row.getByRole('button', { name: 'Reply to Mara_Paints' }).waitFor();
    expect(await row.getByRole('button', { name: 'Ban Mara_Paints' }).count()).toBe(0);
  });

  it('looks at somebody, and silences them for as long as it takes', async () => {
    await rows().filter({ hasText: 'waves at' }).getByRole('button', { name: 'Bob' }).click();
    const card = it_.page.getByRole('dialog', { name: 'About Bob' });
    await card.getByText('Account since').waitFor();
    await shoot('card');
    await card.getByLabel('For how long').fill('3 weeks');
    await card.getByRole('button', { name: 'Time out' }).click();
    await card.getByText('The longest time-out is 14 days').waitFor();
    await card.getByLabel('For how long').fill('2 h');
    await card.getByLabel(/^Reason/).fill('spam');
    await card.getByRole('button', { name: 'Time out' }).click();
    await expect
      .poll(() => room.actions())
      .toContainEqual({ do: 'timeout', user: 'id-bob', seconds: 7_200, reason: 'spam' });
    await it_.page.keyboard.press('Escape');
  });

  it('decides on what is held', async () => {
    room.hold(room.user('Newcomer'), 'cheap watches', 'a blocked term');
    room.hold(room.user('Other'), 'cheap clocks', 'a blocked term');
    await chat().getByRole('button', { name: 'Moderation, 2 held' }).click();
    const sheet = it_.page.getByRole('dialog', { name: 'Moderation' });
    await shoot('held');
    const item = sheet.getByRole('listitem').filter({ hasText: 'cheap watches' });
    await item.getByRole('button', { name: 'Deny' }).click();
    await item.waitFor({ state: 'detached' });
    await sheet.getByRole('button', { name: 'Allow' }).click();
    await sheet.getByText('No message waits for a decision').waitFor();
    expect(
      room
        .actions()
        .filter((action) => action.do === 'review')
        .map((action) => action.allow),
    ).toEqual([false, true]);
  });

  it('sets how the chat works', async () => {
    const sheet = it_.page.getByRole('dialog', { name: 'Moderation' });
    await sheet.getByRole('button', { name: 'Modes' }).click();
    await sheet.getByLabel('Slow mode').selectOption({ label: 'One message every 10 seconds' });
    await sheet.getByLabel('Followers only').selectOption({ label: 'Following for 10 minutes' });
    await sheet.getByLabel('Emotes only').check();
    await it_.page.getByRole('listitem').filter({ hasText: 'Emotes only' }).waitFor();
    await shoot('modes');
    expect(room.settings).toMatchObject({ slow_s: 10, followers_s: 600, emotes_only: true });
    await sheet.getByLabel('Emotes only').uncheck();
    await sheet.getByLabel('Followers only').selectOption('off');
    await expect.poll(() => room.settings.followers_s).toBeNull();
  });

  it('keeps terms, the silenced, the team and the log', async () => {
    const sheet = it_.page.getByRole('dialog', { name: 'Moderation' });
    await sheet.getByRole('button', { name: 'Terms' }).click();
    await sheet.getByLabel('Block a term').fill('casino');
    await sheet.getByRole('button', { name: 'Block', exact: true }).click();
    await sheet.getByRole('listitem').filter({ hasText: 'casino' }).waitFor();
    await sheet.getByRole('button', { name: 'Silenced' }).click();
    await sheet
      .getByRole('listitem')
      .filter({ hasText: 'Loud' })
      .getByText(/8:\d\d left/)
      .waitFor();
    await sheet.getByRole('button', { name: 'Let Spammer speak again' }).click();
    await sheet.getByRole('button', { name: 'Team' }).click();
    await sheet.getByRole('listitem').filter({ hasText: 'Mo' }).waitFor();
    await sheet.getByRole('button', { name: 'Log' }).click();
    const entry = {
      id: '01K9',
      at_ms: Date.now(),
      by: room.me,
      action: 'timeout',
      user: bob,
      text: '10 minutes: spam',
    };
    await sheet.getByText('Nothing was done yet').waitFor();
    room.send({ t: 'logged', entry });
    await sheet.getByRole('listitem').filter({ hasText: '10 minutes: spam' }).waitFor();
    await shoot('log');
    await it_.page.keyboard.press('Escape');
    await sheet.waitFor({ state: 'detached' });
    await field().fill('/terms');
    await it_.page.keyboard.press('Escape');
    await it_.page.keyboard.press('Enter');
    await it_.page.getByRole('dialog', { name: 'Moderation' }).getByText('casino').waitFor();
    await it_.page.keyboard.press('Escape');
  });

  it('is not made to judge a list that moves', async () => {
    room.message(bob, 'look at this');
    const row = rows().filter({ hasText: 'look at this' });
    await row.hover();
    const before = await row.boundingBox();
    for (let i = 0; i < 30; i += 1) room.message(bob, `more ${i}`);
    await chat()
      .getByRole('button', { name: /^3\d new messages$/ })
      .waitFor();
    expect((await row.boundingBox())?.y).toBe(before?.y);
    await it_.page.mouse.move(10, 10);
    await rows().filter({ hasText: 'more 29' }).waitFor();
    await expect.poll(distance).toBeLessThanOrEqual(1);
  });

  it('goes through messages with the keyboard alone', async () => {
    await field().focus();
    await it_.page.keyboard.press('Shift+Tab');
    await it_.page.keyboard.press('Shift+Tab');
    await feed().focus();
    await it_.page.keyboard.press('ArrowUp');
    await it_.page.keyboard.press('ArrowUp');
    await rows().filter({ hasText: 'more 28' }).and(it_.page.locator(':focus')).waitFor();
    await it_.page.keyboard.press('Tab');
    await it_.page.keyboard.press('Tab');
    await it_.page.keyboard.press('Tab');
    await it_.page
      .locator(':focus')
      .and(it_.page.getByRole('button', { name: 'Delete this message' }))
      .waitFor();
    await it_.page.keyboard.press('Enter');
    await expect.poll(() => room.actions().at(-1)?.do).toBe('delete');
    await it_.page.keyboard.press('Escape');
    await it_.page.locator('textarea:focus').waitFor();
  });
});

describe('a flood of 50 messages a second', () => {
  beforeAll(async () => {
    await enter();
    await visit();
  });
  afterAll(() => it_.close());

  it('is followed, with few rows in the document, and nothing grows', async () => {
    const stop = room.flood(50);
    await expect.poll(() => room.events.length, { timeout: 20_000 }).toBeGreaterThan(150);
    const nodes = () => feed().evaluate((list) => list.querySelectorAll('*').length);
    const first = await nodes();
    // Frames are counted, not timed: what the page draws while the messages come.
    const drawn = await it_.page.evaluate(
      () =>
        new Promise<{ frames: number; most: number }>((resolve) => {
          let frames = 0;
          let most = 0;
          const end = performance.now() + 3_000;
          const next = () => {
            frames += 1;
            most = Math.max(most, document.querySelectorAll('[role="article"]').length);
            if (performance.now() < end) requestAnimationFrame(next);
            else resolve({ frames, most });
          };
          requestAnimationFrame(next);
        }),
    );
    expect(drawn.most).toBeLessThan(80);
    expect(drawn.frames).toBeGreaterThan(20);
    expect(await nodes()).toBeLessThan(first * 1.5 + 100);
    await shoot('flood');
    const sent = stop();
    // The last one is on the screen, at the end of the list.
    await rows()
      .filter({ hasText: new RegExp(` ${sent - 1}\\s*$`) })
      .waitFor();
    await expect.poll(distance).toBeLessThanOrEqual(1);
    if (process.env['NODI_SCREENSHOTS'] !== undefined) console.log({ sent, ...drawn });
  });

  it('lets one look back: what is read stays where it is, and the way back is offered', async () => {
    await feed().hover();
    await it_.page.mouse.wheel(0, -400);
    await expect.poll(distance).toBeGreaterThan(200);
    // The first row that is in view, and where it is.
    const seen = () =>
      feed().evaluate((list) => {
        const top = list.getBoundingClientRect().top;
        for (const row of list.querySelectorAll<HTMLElement>('[data-key]')) {
          const y = row.getBoundingClientRect().top - top;
          if (y >= 0) return { key: row.dataset['key'], y: Math.round(y) };
        }
        return null;
      });
    const before = await seen();
    const stop = room.flood(50);
    await chat()
      .getByRole('button', { name: /^\d{2,} new messages$/ })
      .waitFor();
    expect(await seen()).toEqual(before);
    expect(await rows().count()).toBeLessThan(80);
    await shoot('reading');
    stop();
    await chat()
      .getByRole('button', { name: /^[\d+]+ new messages$/ })
      .click();
    await expect.poll(distance).toBeLessThanOrEqual(1);
    expect(
      await chat()
        .getByRole('button', { name: /^[\d+]+ new messages$/ })
        .count(),
    ).toBe(0);
  });

  it('can be scrolled from end to beginning, row by row in order', async () => {
    const keys = new Set<string>();
    let last = -1;
    for (let i = 0; i < 200; i += 1) {
      const [top, shown] = await feed().evaluate((list): [number, string[]] => {
        list.dispatchEvent(new WheelEvent('wheel', { deltaY: -1 }));
        list.scrollTop -= list.clientHeight * 0.8;
        return [
          list.scrollTop,
          [...list.querySelectorAll<HTMLElement>('[data-key]')].map((row) => row.dataset['key'] ?? ''),
        ];
      });
      expect(shown).toEqual([...shown].sort());
      for (const key of shown) keys.add(key);
      if (top === 0 && last === 0) break;
      last = top;
      await it_.page.evaluate(
        () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))),
      );
    }
    expect(last).toBe(0);
    expect(keys.size).toBeGreaterThanOrEqual(Math.min(room.events.length, 600));
  });
});

describe('with a finger', () => {
  beforeAll(async () => {
    await enter({ phone: true, role: 'moderator' });
    conversation();
    await visit();
    await rows().first().waitFor();
  });
  afterAll(() => it_.close());

  it('a message is tapped for what can be done with it, and let go of', async () => {
    const row = rows().filter({ hasText: 'helper' });
    await row.getByText('The stream has been live').tap();
    const ban = row.getByRole('button', { name: 'Ban helper' });
    await ban.waitFor();
    await shoot('phone-tapped');
    const box = await ban.boundingBox();
    expect(Math.min(box?.width ?? 0, box?.height ?? 0)).toBeGreaterThanOrEqual(40);
    await row.getByText('The stream has been live').tap();
    await ban.waitFor({ state: 'detached' });
    await row.getByText('The stream has been live').tap();
    await ban.tap();
    await expect.poll(() => room.actions().at(-1)).toEqual({ do: 'ban', user: 'id-helper' });
  });

  it('the list is not pulled away from a finger that moves slowly', async () => {
    const stop = room.flood(50);
    await expect.poll(() => room.events.length, { timeout: 20_000 }).toBeGreaterThan(80);
    const box = await feed().boundingBox();
    const session = await it_.page.context().newCDPSession(it_.page);
    const x = (box?.x ?? 0) + 100;
    const y = (box?.y ?? 0) + 40;
    await session.send('Input.dispatchTouchEvent', { type: 'touchStart', touchPoints: [{ x, y }] });
    for (let down = 4; down <= 180; down += 4) {
      await session.send('Input.dispatchTouchEvent', {
        type: 'touchMove',
        touchPoints: [{ x, y: y + down }],
      });
      await it_.page.evaluate(() => new Promise((done) => requestAnimationFrame(done)));
    }
    await session.send('Input.dispatchTouchEvent', { type: 'touchEnd', touchPoints: [] });
    stop();
    expect(await distance()).toBeGreaterThan(120);
    await chat()
      .getByRole('button', { name: /new messages$/ })
      .last()
      .tap();
    await expect.poll(distance).toBeLessThanOrEqual(1);
  });

  it('the keyboard covers nothing that one writes', async () => {
    await field().tap();
    await field().fill('with my thumbs');
    // A keyboard as browsers tell of it that leave the page as high as it was.
    await it_.page.evaluate(() => {
      const view = window.visualViewport;
      Object.defineProperty(view, 'height', { configurable: true, get: () => window.innerHeight - 300 });
      view?.dispatchEvent(new Event('resize'));
    });
    const bottom = async () => {
      const box = await chat().getByRole('button', { name: 'Send' }).boundingBox();
      return (box?.y ?? 0) + (box?.height ?? 0);
    };
    await expect.poll(bottom).toBeLessThanOrEqual(844 - 300);
    await shoot('phone-keyboard');
    await chat().getByRole('button', { name: 'Send' }).tap();
    await rows().filter({ hasText: 'with my thumbs' }).waitFor();
    await expect.poll(distance).toBeLessThanOrEqual(1);
  });
});

describe.each([
  { screen: 'desktop', phone: false, role: 'moderator' as const, themes: ['light', 'dark'] as const },
  // The colours are the same ones.
  { screen: 'phone', phone: true, role: 'viewer' as const, themes: ['dark'] as const },
])('on a $screen', ({ screen, phone, role, themes }) => {
  beforeAll(async () => {
    await enter({ phone, role });
    conversation();
    room.set({ slow_s: 10 }, mara);
    await it_.page.emulateMedia({ reducedMotion: 'reduce' });
  });
  afterAll(() => it_.close());

  it.each(themes)('nothing in it is flawed when it is %s', async (colorScheme) => {
    await it_.page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await visit();
    await rows().filter({ hasText: 'first time here' }).waitFor();
    await shoot(`${screen}-${colorScheme}`);
    expect(await flaws(it_.page)).toEqual([]);
    await feed().focus();
    await it_.page.keyboard.press('ArrowUp');
    await it_.page.keyboard.press('ArrowUp');
    expect(await flaws(it_.page)).toEqual([]);
    await chat().getByRole('button', { name: 'Chat display' }).click();
    await it_.page.getByRole('dialog', { name: 'Chat display' }).waitFor();
    expect(await flaws(it_.page)).toEqual([]);
    await it_.page.keyboard.press('Escape');
    await rows().filter({ hasText: 'finally' }).getByRole('button', { name: 'Bob' }).click();
    await it_.page.getByRole('dialog', { name: 'About Bob' }).waitFor();
    expect(await flaws(it_.page)).toEqual([]);
    await shoot(`${screen}-${colorScheme}-card`);
    await it_.page.keyboard.press('Escape');
    if (role !== 'moderator') return;
    await chat().getByRole('button', { name: 'Moderation' }).click();
    await it_.page.getByRole('dialog', { name: 'Moderation' }).getByLabel('Slow mode').waitFor();
    expect(await flaws(it_.page)).toEqual([]);
  });
});
