// What axe finds by machine, on every page of the site, by day and by night, wide and on a phone.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { flaws } from '../axe';
import { open, type Opened } from './open';

describe.each([
  { screen: 'wide', phone: false, themes: ['light', 'dark'] as const },
  // The colours are the same ones.
  { screen: 'a phone', phone: true, themes: ['dark'] as const },
])('on $screen', ({ phone, themes }) => {
  let it_: Opened;
  beforeAll(async () => {
    it_ = await open({ phone, signedIn: true });
  });
  afterAll(() => it_.close());

  const pages: readonly [name: string, path: string, ready: string, signedIn: boolean][] = [
    ['directory', '/', 'Blitz without words', false],
    ['nothing found', '/?q=zzz', 'Nothing live matches', false],
    ['following', '/following', 'Elsewhere', true],
    ['following, signed out', '/following', 'Follow the channels you like', false],
    ['account', '/account', 'Delete your account', true],
    ['account, signed out', '/account', 'I am new here', false],
    ['studio', '/studio/ada', 'Start streaming', true],
    ['studio, signed out', '/studio', 'Stream on Nodi', false],
    ['nothing', '/nowhere', 'There is no such page', false],
  ];

  it.each(pages)('%s has no flaw that a machine finds', async (_, path, ready, signedIn) => {
    it_.site.account = signedIn ? it_.site.world.account : null;
    for (const colorScheme of themes) {
      await it_.page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await it_.page.goto(it_.site.url + path);
      await it_.page.getByText(ready).first().waitFor();
      expect(await flaws(it_.page)).toEqual([]);
      const wider = await it_.page.evaluate('document.documentElement.scrollWidth - innerWidth');
      expect(wider, 'no sideways scrolling').toBeLessThanOrEqual(0);
    }
  });

  it('the menu and the sign-in dialog have none', async () => {
    it_.site.account = null;
    await it_.page.goto(it_.site.url);
    await it_.page.getByText('Blitz without words').waitFor();
    await it_.page.getByRole('button', { name: 'Menu' }).click();
    await it_.page.getByRole('group', { name: 'Theme' }).waitFor();
    expect(await flaws(it_.page)).toEqual([]);
    await it_.page.locator('#account-menu').getByRole('button', { name: 'Sign up' }).click();
    await it_.page.getByRole('dialog').waitFor();
    expect(await flaws(it_.page)).toEqual([]);
  });
});

describe('the header', () => {
  let it_: Opened;
  beforeAll(async () => {
    it_ = await open();
    await it_.page.goto(it_.site.url);
    await it_.page.getByText('Blitz without words').waitFor();
  });
  afterAll(() => it_.close());

  it.each([320, 390, 760, 800, 980, 1_000, 1_200, 1_920])(
    'has room for all of it at %i pixels',
    async (width) => {
      await it_.page.setViewportSize({ width, height: 700 });
      const overlaps = await it_.page.evaluate(`(() => {
      const boxes = [...document.querySelectorAll('.site > header :is(a, input, button)')]
        .map((element) => ({ element, box: element.getBoundingClientRect() }))
        .filter(({ box }) => box.width > 0)
        .sort((a, b) => a.box.left - b.box.left);
      const wide = boxes.at(-1).box.right > innerWidth ? ['too wide'] : [];
      return wide.concat(boxes.slice(1).flatMap(({ element, box }, index) =>
        box.left < boxes[index].box.right - 1 ? [element.outerHTML.slice(0, 80)] : []));
    })()`);
      expect(overlaps).toEqual([]);
    },
  );
});
