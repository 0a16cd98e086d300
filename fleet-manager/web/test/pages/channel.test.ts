// The channel page around its player, on a channel that is off the air. What plays is for the lab's journeys.
// NODI_SCREENSHOTS names a folder for pictures of what the tests see.

import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { flaws } from '../axe';
import { ChatRoom } from '../chat/room';
import { open, type Opened } from './open';

let it_: Opened;
let room: ChatRoom;

async function enter(phone: boolean) {
  it_ = await open({ phone });
  room = await ChatRoom.on(it_.page, 'viewer');
}

/** A visit of somebody who was never here before. */
async function visit(path: string, { signedIn = false } = {}) {
  it_.site.account = signedIn ? it_.site.world.account : null;
  it_.site.failures.clear();
  await it_.page.goto(`${it_.site.url}/nowhere`);
  await it_.page.evaluate(() => localStorage.clear());
  await it_.page.goto(it_.site.url + path);
}

/** With a message in the chat: a feed without any has no children, which axe does not like. */
async function machineFinds(): Promise<string[]> {
  await room.joined();
  room.message(room.user('Bob'), 'Good evening');
  await it_.page.getByText('Good evening').first().waitFor();
  return flaws(it_.page);
}

const stage = () => it_.page.getByRole('region', { name: 'Player' });
const chat = () => it_.page.getByRole('region', { name: 'Chat', exact: true });
const button = (name: string | RegExp) => it_.page.getByRole('button', { name, exact: true });

async function shoot(name: string) {
  const folder = process.env['NODI_SCREENSHOTS'];
  if (folder !== undefined) await it_.page.screenshot({ path: join(folder, `channel-${name}.png`) });
}

describe('a channel', () => {
  beforeAll(() => enter(false));
  afterAll(() => it_.close());

  it('says whose it is and what it is about, and has its chat beside it', async () => {
    await visit('/watch/ada');
    const { page } = it_;
    await page.getByRole('heading', { level: 1, name: 'Sorting the archive' }).waitFor();
    await page.getByText('Old tapes, new ears.').waitFor();
    await stage().getByText('Offline').waitFor();
    await chat().waitFor();
    expect(await page.title()).toBe('Ada: Sorting the archive of a small radio station · Nodi');
    await shoot('offline');
    expect(await machineFinds()).toEqual([]);
    expect(it_.complaints).toEqual([]);
  });

  it('says when it was live last, over the last picture', async () => {
    const { page, site } = it_;
    const { channel } = site.world;
    site.world.channel = () => ({
      id: 'ada',
      title: 'Ada',
      description: '',
      streamer: { id: '1', name: 'Ada' },
      live: false,
      suspended: false,
      last_live_ms: Date.now() - 3.2 * 3_600_000,
      viewers: 0,
      followers: 1,
      thumbnail_url: '/live/ada/thumbnail.jpg',
      following: null,
    });
    await visit('/watch/ada');
    await stage().getByText('Was live 3 h ago.').waitFor();
    site.world.channel = channel;
    await page.waitForFunction(() => document.querySelector<HTMLImageElement>('.still')?.naturalWidth !== 0);
    expect(await page.locator('.still').isVisible()).toBe(true);
    await shoot('last-picture');
    expect(await machineFinds()).toEqual([]);
  });

  it('is followed, by whoever signs in for it', async () => {
    await visit('/watch/mara_paints');
    const { page, site } = it_;
    await button('Follow').click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('Sign in to follow Mara_Paints.').waitFor();
    await dialog.getByLabel('Name').fill('Ada');
    await dialog.getByLabel('Password').fill(site.world.password);
    await dialog.getByRole('button', { name: 'Sign in' }).click();
    await button('Following').waitFor();
    expect(site.requests).toContain('PUT /channels/mara_paints/follow');
    await button('Following').click();
    await button('Follow').waitFor();
    expect(site.requests).toContain('DELETE /channels/mara_paints/follow');
  });

  it('is not followed but run by its streamer', async () => {
    await visit('/watch/ada', { signedIn: true });
    await it_.page.getByRole('main').getByRole('link', { name: 'Studio' }).waitFor();
    expect(await button('Follow').count()).toBe(0);
  });

  it('that nobody has opened is called that', async () => {
    await visit('/watch/nobody');
    await stage().getByText('No such channel').waitFor();
    await it_.page.goto(`${it_.site.url}/watch/No-Such-Name`);
    await it_.page.getByText('There is no such channel').waitFor();
  });

  it('comes up without the site’s server', async () => {
    await visit('/nowhere');
    it_.site.failures.set('/site/', 502);
    await it_.page.goto(`${it_.site.url}/watch/ada`);
    await it_.page.getByRole('heading', { level: 1, name: 'ada' }).waitFor();
    await stage().getByText('Offline').waitFor();
    expect(await it_.page.evaluate('window.__nodi.state')).toBe('offline');
    // It says more as soon as it can.
    it_.site.failures.clear();
    await it_.page.evaluate('document.dispatchEvent(new Event("visibilitychange"))');
    await it_.page
      .getByRole('heading', { level: 1, name: 'Sorting the archive' })
      .waitFor({ timeout: 30_000 });
  });
});

describe('the page around the player', () => {
  beforeAll(() => enter(false));
  afterAll(() => it_.close());

  it('has a theatre mode and a chat that can be put away, and remembers both', async () => {
    await visit('/watch/ada');
    const { page } = it_;
    await chat().waitFor();
    await page.keyboard.press('t');
    await button('Leave theatre mode').waitFor();
    expect(await page.getByRole('banner').count()).toBe(0);
    await shoot('theatre');
    await page.keyboard.press('c');
    await chat().waitFor({ state: 'detached' });
    await page.reload();
    await button('Leave theatre mode').waitFor();
    await button('Show chat').click();
    await chat().waitFor();
    await button('Leave theatre mode').click();
    await page.getByRole('banner').waitFor();
  });

  it('leaves what is written in the chat alone', async () => {
    await visit('/watch/mara_paints', { signedIn: true });
    const { page } = it_;
    const field = page.getByRole('textbox', { name: 'Message' });
    await field.click();
    await page.keyboard.type('mtc? k');
    expect(await field.inputValue()).toBe('mtc? k');
    await button('Theatre mode').waitFor();
    expect(await page.getByRole('dialog').count()).toBe(0);
  });

  it('explains the keyboard, and goes back to where it was', async () => {
    await visit('/watch/ada');
    const { page } = it_;
    await stage().getByText('Offline').waitFor();
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keyboard' }).waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'hidden' });
  });

  it('goes with its player when another page comes', async () => {
    await visit('/watch/ada');
    const { page, site } = it_;
    await stage().getByText('Offline').waitFor();
    await page.getByRole('link', { name: 'Nodi' }).click();
    await page.getByText('Blitz without words').waitFor();
    expect(await page.evaluate('window.__nodi')).toBeUndefined();
    await page.getByText('Blitz without words').click();
    await page.waitForURL(`${site.url}/watch/quiet_chess`);
    await page.waitForFunction('window.__nodi?.channel === "quiet_chess"');
    expect(await page.locator('video').count()).toBe(1);
    expect(it_.complaints).toEqual([]);
  });
});

describe('on a phone', () => {
  beforeAll(() => enter(true));
  afterAll(() => it_.close());

  it('the chat is below the picture, and nothing to the side', async () => {
    await visit('/watch/mara_paints');
    const { page } = it_;
    await chat().waitFor();
    const [picture, talk] = [await stage().boundingBox(), await chat().boundingBox()];
    expect(picture?.width).toBe(390);
    expect((picture?.y ?? 0) + (picture?.height ?? 0)).toBeLessThanOrEqual(talk?.y ?? 0);
    expect(talk?.height).toBeGreaterThan(300);
    expect((talk?.y ?? 0) + (talk?.height ?? 0)).toBeLessThanOrEqual(844);
    expect(await page.evaluate('document.documentElement.scrollWidth - innerWidth')).toBeLessThanOrEqual(0);
    expect(await page.evaluate('document.documentElement.scrollHeight - innerHeight')).toBeLessThanOrEqual(0);
    await shoot('phone');
    expect(await machineFinds()).toEqual([]);
  });
});
