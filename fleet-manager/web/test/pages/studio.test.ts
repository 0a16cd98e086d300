import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { open, type Opened } from './open';

/** A picture of one pixel. */
const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==',
  'base64',
);

describe('the studio', () => {
  let it_: Opened;
  const moderators = [{ id: '01JMOD', name: 'Grace', role: 'moderator' }];
  beforeAll(async () => {
    it_ = await open({ signedIn: true });
    const user = { id: it_.site.world.account.id, name: 'Ada', role: 'streamer' };
    // The chat service's answers to the few frames that this page sends.
    await it_.page.routeWebSocket('**/chat/ws', (socket) => {
      const send = (frame: object) => socket.send(JSON.stringify(frame));
      const answer = (nonce: string) =>
        send({ t: 'done', nonce, text: '', answer: { is: 'moderators', users: moderators } });
      socket.onMessage((text) => {
        const frame = JSON.parse(String(text)) as {
          t: string;
          nonce: string;
          action: { do: string; user: string };
        };
        if (frame.t === 'join') {
          const you = { user, expires_ms: Date.now() + 3_600_000 };
          send({
            t: 'welcome',
            channel: 'ada',
            settings: {},
            you,
            viewers: 1,
            chatters: 1,
            now_ms: Date.now(),
            max_graphemes: 500,
            emotes: [],
          });
          send({ t: 'history', events: [], gap: false });
        } else if (frame.t === 'do') {
          const { do: deed, user: target } = frame.action;
          if (deed === 'appoint' && target === '@nobody') {
            const text = 'Nobody here is called nobody.';
            return send({ t: 'refused', nonce: frame.nonce, code: 'not_found', text });
          }
          if (deed === 'appoint') moderators.push({ id: '01JNEW', name: target.slice(1), role: 'moderator' });
          if (deed === 'dismiss') moderators.splice(0, moderators.length);
          answer(frame.nonce);
        }
      });
    });
  });
  afterAll(() => it_.close());

  it('opens a channel for whoever has none', async () => {
    const { page, site } = it_;
    site.account = { ...site.world.account, role: 'member', channels: [] };
    await page.goto(`${site.url}/studio`);
    await page.getByText('/watch/ada').waitFor();
    await page.getByRole('button', { name: 'Open my channel' }).click();
    await page.getByRole('heading', { level: 1, name: 'Studio: Ada' }).waitFor();
    expect(new URL(page.url()).pathname).toBe('/studio/ada');
  });

  it('says how the stream does, and what to do', async () => {
    const { page, site } = it_;
    await page.getByText('The stream is healthy').waitFor();
    site.world.health = 'warning';
    await page.getByText('set the key-frame interval to 2 s').waitFor();
    site.world.mine.live = false;
    await page.getByText('You are not live.').waitFor();
    site.world.mine.live = true;
    site.world.health = 'ok';
    await page.getByText('The stream is healthy').waitFor();
  });

  it('shows a new key once, beside the server', async () => {
    const { page, site } = it_;
    expect(await page.getByRole('textbox', { name: 'Server' }).inputValue()).toBe(
      'rtmps://pisa.nodi.example/live',
    );
    await page.getByRole('button', { name: 'Replace it' }).click();
    await page.getByRole('button', { name: 'Replace the key' }).click();
    const once = page.getByRole('dialog', { name: 'Your new stream key' });
    expect(await once.getByRole('textbox', { name: 'Stream key' }).inputValue()).toBe('nodi_made-up-key-2');
    await page.keyboard.press('Escape');
    await once.getByRole('button', { name: 'I have stored it' }).click();
    await once.waitFor({ state: 'detached' });
    expect(site.world.keys.map((key) => key.revoked_ms === null)).toEqual([false, true]);
    expect(await page.getByText('made-up-key').count()).toBe(0);
  });

  it('changes what viewers read, and loses nothing that was typed', async () => {
    const { page, site } = it_;
    await page.getByLabel('Title').fill('Live from the attic');
    await page.getByLabel('About your channel').fill('Every Sunday.');
    // The page has looked for news meanwhile.
    const before = site.requests.length;
    await expect
      .poll(() => site.requests.slice(before), { timeout: 10_000 })
      .toContain('GET /channels/ada/health');
    expect(await page.getByLabel('Title').inputValue()).toBe('Live from the attic');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('Viewers see it at once').waitFor();
    expect(site.world.mine.title).toBe('Live from the attic');
  });

  it('appoints and dismisses moderators', async () => {
    const { page } = it_;
    const section = page.getByRole('region', { name: 'Moderators' });
    await section.getByText('Grace').waitFor();
    await section.getByLabel('Appoint somebody').fill('nobody');
    await section.getByRole('button', { name: 'Appoint' }).click();
    await section.getByText('Nobody here is called nobody').waitFor();
    await section.getByLabel('Appoint somebody').fill('Linus');
    await page.keyboard.press('Enter');
    await section.getByText('Linus').waitFor();
    await section.getByRole('button', { name: 'Take Linus’s moderation back' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Take it back' }).click();
    await section.getByText('You have no moderators yet').waitFor();
  });

  it('takes emotes, and says what is wrong with one before it is sent', async () => {
    const { page, site } = it_;
    const section = page.getByRole('region', { name: 'Emotes' });
    const file = section.locator('input[type=file]');
    await file.setInputFiles({ name: 'a.svg', mimeType: 'image/svg+xml', buffer: Buffer.from('<svg/>') });
    await section.getByText('An emote is a PNG').waitFor();
    await file.setInputFiles({ name: 'Ada Party.png', mimeType: 'image/png', buffer: PNG });
    const name = section.getByLabel('Name');
    expect(await name.inputValue()).toBe('adaparty');
    await name.fill('adahi');
    await section.getByRole('button', { name: 'Upload' }).click();
    await section.getByText('there is an emote :adahi: already').waitFor();
    await name.fill('adaparty');
    await section.getByRole('button', { name: 'Upload' }).click();
    await section.getByText(':adaparty:').waitFor();
    expect(site.world.emotes).toHaveLength(3);
    await section.getByRole('button', { name: 'Delete :adaparty:' }).click();
    await page.getByRole('button', { name: 'Delete the emote' }).click();
    await expect.poll(() => site.world.emotes.length).toBe(2);
  });

  it('is nobody else’s', async () => {
    const { page, site } = it_;
    await page.goto(`${site.url}/studio/mara_paints`);
    await page.getByText('This is not your channel').waitFor();
  });

  it('breaks no rule of the page', () => {
    expect(it_.complaints).toEqual([]);
  });
});
