// Somebody at the watch site: signs up or in, watches, reads, talks.

import { Person, SCREENS } from '../../dashboard/test/journeys/browser.mjs';
import { until } from '../../dashboard/test/journeys/report.mjs';

/** A stream is joined, and on a busy machine several at a time. */
const PICTURE_MS = 40_000;

export class Visitor extends Person {
  /** @param {Awaited<ReturnType<typeof import('../browser.mjs').openCrowd>>} crowd */
  static async arrive(platform, crowd, screen = 'desktop') {
    const visitor = await this.open(platform, screen, await crowd.person(SCREENS[screen]));
    // While the service is away Chromium says so by itself.
    visitor.expectComplaint(/WebSocket connection to/);
    return visitor;
  }

  async goto(path) {
    await this.page.goto(`${this.platform.site}${path}`, { waitUntil: 'domcontentloaded' });
  }

  async toChannel() {
    await this.goto(`/watch/${this.platform.channel}`);
    // While there are no messages it is no feed.
    await this.page.getByLabel('Chat messages').waitFor({ timeout: 20_000 });
  }

  async enter(form, { name, password }) {
    const { page } = this;
    await page
      .getByRole('banner')
      .getByRole('button', { name: form === 'up' ? 'Sign up' : 'Sign in', exact: true })
      .click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Name', { exact: true }).fill(name);
    await dialog.getByLabel('Password', { exact: true }).fill(password);
    await dialog
      .locator('form')
      .getByRole('button', { name: form === 'up' ? 'Sign up' : 'Sign in', exact: true })
      .click();
    await dialog.waitFor({ state: 'detached' });
    await page.getByRole('button', { name: `Menu of ${name}` }).waitFor();
  }

  signUp(login) {
    return this.enter('up', login);
  }

  signIn(login) {
    return this.enter('in', login);
  }

  /** The picture moves. */
  async watches() {
    const time = () => this.page.locator('video').evaluate((video) => video.currentTime);
    const before = await until('a picture', async () => (await time()) || null, PICTURE_MS);
    await until('the picture to move', async () => (await time()) > before, PICTURE_MS);
  }

  get line() {
    return this.page.getByRole('textbox', { name: 'Message', exact: true });
  }

  /** Says something as one types it, and waits until the room has it. */
  async says(text) {
    await this.types(text);
    await this.hears(text);
  }

  async types(text) {
    await this.line.fill(text);
    await this.line.press('Enter');
  }

  async hears(text, ms = 20_000) {
    await this.message(text).first().waitFor({ timeout: ms });
  }

  message(text) {
    return this.page
      .getByRole('feed', { name: 'Chat messages' })
      .getByRole('article')
      .filter({ hasText: text });
  }

  /** Every message that the list has drawn, as text. */
  async read() {
    const articles = this.page.getByRole('feed', { name: 'Chat messages' }).getByRole('article');
    return (await articles.allInnerTexts()).map((text) => text.replaceAll(/\s+/g, ' ').trim());
  }

  /** Resolves to the wall clock's time at which the text is in the document. */
  awaitText(text) {
    return this.page.evaluate(
      (wanted) =>
        new Promise((resolve) => {
          const feed = document.querySelector('[aria-label="Chat messages"]');
          const look = () => {
            if (!feed.textContent.includes(wanted)) return;
            observer.disconnect();
            resolve(performance.timeOrigin + performance.now());
          };
          const observer = new MutationObserver(look);
          observer.observe(feed, { subtree: true, childList: true, characterData: true });
          look();
        }),
      text,
    );
  }

  /** The wall clock's time of the key press that sends. */
  async typesAndTells(text) {
    await this.page.evaluate(() => {
      const note = (event) => {
        if (event.key === 'Enter') window.__sentAt = performance.timeOrigin + event.timeStamp;
      };
      document.addEventListener('keydown', note, { capture: true, once: false });
    });
    await this.types(text);
    return this.page.evaluate(() => window.__sentAt);
  }
}
