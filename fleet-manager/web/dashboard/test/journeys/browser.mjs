// A person at a screen: a browser of its own, what it complained about, and what a page may never do.

import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

import { openBrowser } from '../../../test/browser.mjs';
import { expect, until } from './report.mjs';

export const SCREENS = {
  desktop: { width: 1440, height: 900 },
  phone: { width: 390, height: 844, phone: true },
};

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** The rules that are about what a person meets: WCAG 2 A and AA. */
const AXE_TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];

export class Person {
  complaints = [];
  /** A stream that has just begun has no picture yet. */
  #expected = [/thumbnail\.jpg/];

  /** In a browser of their own, or in one that was `opened` already. */
  static async open(platform, screen = 'desktop', opened) {
    const browser = opened ?? (await openBrowser(SCREENS[screen]));
    const person = new this();
    person.platform = platform;
    person.page = browser.page;
    person.close = browser.close;
    const { page } = browser;
    page.on('pageerror', (error) => person.#complain(`error in the page: ${error.message}`));
    page.on('console', (message) => {
      if (message.type() === 'error')
        person.#complain(`console: ${message.text()} ${message.location().url}`);
    });
    return person;
  }

  #complain(text) {
    if (!this.#expected.some((pattern) => pattern.test(text))) this.complaints.push(text.trim());
  }

  /** Chromium itself writes an error to the console for every answer from 400 on: some are part of a journey. */
  expectComplaint(pattern) {
    this.#expected.push(pattern);
  }

  async goto(path) {
    await this.page.goto(`${this.platform.dashboard}${path}`, { waitUntil: 'domcontentloaded' });
  }

  async logIn({ name, password } = this.platform.login) {
    const { page } = this;
    await this.goto('/');
    await page.getByLabel('Name', { exact: true }).fill(name);
    await page.getByLabel('Password', { exact: true }).fill(password);
    await page.getByRole('button', { name: 'Log in' }).click();
  }

  /** Waits for the page's heading: the only first-level one. */
  async heading(text) {
    const name = typeof text === 'string' ? new RegExp(`^${text}`, 'i') : text;
    await this.page.getByRole('heading', { level: 1, name }).waitFor({ timeout: 20_000 });
  }

  /** Nothing is still on its way in. */
  async settled() {
    const { page } = this;
    await page.evaluate(() => document.fonts.ready.then(() => true));
    await until('the page to be filled', async () => (await page.locator('.loading').count()) === 0, 15_000);
  }

  /** What may not be on any page at any width. */
  async findings() {
    const { page } = this;
    const found = [];
    const { wide, view, culprits } = await page.evaluate(() => {
      const root = document.documentElement;
      const view = root.clientWidth;
      // What scrolls inside its own box is meant to.
      const clipped = (element) => {
        for (let at = element.parentElement; at !== null; at = at.parentElement) {
          if (getComputedStyle(at).overflowX !== 'visible') return true;
        }
        return false;
      };
      const culprits = [...document.body.querySelectorAll('*')]
        .filter((element) => element.getBoundingClientRect().right > view + 1 && !clipped(element))
        .slice(0, 3)
        .map((element) => `${element.tagName.toLowerCase()}.${[...element.classList].join('.')}`);
      return { wide: root.scrollWidth, view, culprits };
    });
    if (wide > view) found.push(`${wide - view} px wider than the screen (${culprits.join(', ')})`);
    if (!(await page.evaluate('typeof window.axe === "object"'))) await page.evaluate(AXE);
    const violations = await page.evaluate(async (tags) => {
      const result = await window.axe.run(document, {
        runOnly: { type: 'tag', values: tags },
        resultTypes: ['violations'],
      });
      return result.violations.map(({ id, help, nodes }) => ({
        id,
        help,
        at: nodes.slice(0, 3).map((node) => `${node.target.join(' ')} ${node.any[0]?.message ?? ''}`),
      }));
    }, AXE_TAGS);
    for (const { id, help, at } of violations) found.push(`${id}: ${help}: ${at.join(' | ')}`);
    return found;
  }

  /** The same as `complaints`, once. */
  takeComplaints() {
    return this.complaints.splice(0);
  }

  async shoot(dir, name) {
    if (dir === undefined) return;
    mkdirSync(dir, { recursive: true });
    await this.page.screenshot({ path: join(dir, `${name}.png`), fullPage: true });
  }

  /** The browser's cookies as a header, and the token that goes with a change. */
  async credentials() {
    const cookies = await this.page.context().cookies();
    const cookie = cookies.map(({ name, value }) => `${name}=${value}`).join('; ');
    const me = await this.platform.call('GET', '/me', undefined, { cookie });
    expect(me.status === 200, `GET /me with the browser's cookie: ${me.status}`);
    return { cookie, 'x-csrf-token': me.body.csrf_token };
  }
}
