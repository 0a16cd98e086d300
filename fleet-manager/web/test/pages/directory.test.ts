import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { open, type Opened } from './open';

describe('the directory', () => {
  let it_: Opened;
  beforeAll(async () => {
    it_ = await open();
    await it_.page.goto(it_.site.url);
    await it_.page.getByRole('list', { name: 'Live channels' }).waitFor();
  });
  afterAll(() => it_.close());

  const cards = () => it_.page.getByRole('list', { name: 'Live channels' }).getByRole('listitem');
  const titles = () => cards().getByRole('heading').allTextContents();

  it('shows who is live, the most watched first', async () => {
    expect(await cards().count()).toBe(9);
    const first = await cards().first().textContent();
    expect(first).toContain('Sunrise over Dhaka');
    expect(first).toContain('Rooftop_Radio');
    expect(first).toContain('12.5k viewers');
    expect(first).toMatch(/On air for 5:12:\d\d/);
    await it_.page.getByRole('button', { name: 'Just started' }).click();
    expect((await titles())[0]).toBe('Blitz without words');
    await it_.page.getByRole('button', { name: 'Most watched' }).click();
  });

  it('loads little, and nothing moves while it does', async () => {
    await it_.page.reload();
    await cards().first().waitFor();
    const scripts = (await it_.page.evaluate(`performance.getEntriesByType('resource')
      .filter(({ name }) => name.endsWith('.js')).map(({ name, decodedBodySize }) => [name, decodedBodySize])`)) as [
      string,
      number,
    ][];
    expect(scripts.filter(([name]) => name.includes('hls'))).toEqual([]);
    // Some fifty KiB once compressed.
    expect(scripts.reduce((sum, [, bytes]) => sum + bytes, 0)).toBeLessThan(160_000);
    const shifted = await it_.page.evaluate(`new Promise((resolve) => {
      let sum = 0;
      const observer = new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) sum += entry.value;
      });
      observer.observe({ type: 'layout-shift', buffered: true });
      requestAnimationFrame(() => requestAnimationFrame(() => resolve(sum)));
    })`);
    expect(shifted).toBeLessThan(0.01);
  });

  it('finds channels while one types, and keeps that in the address', async () => {
    const search = it_.page.getByRole('searchbox', { name: 'Search live channels' });
    await it_.page.keyboard.press('/');
    await it_.page.keyboard.type('canzoni luca');
    await expect.poll(titles).toEqual(['Canzoni su richiesta 🎸']);
    expect(it_.page.url()).toContain('?q=canzoni+luca');
    await search.fill('nobody at all');
    await it_.page.getByText('Nothing live matches').waitFor();
    await it_.page.getByRole('button', { name: 'Show all' }).click();
    await expect.poll(() => cards().count()).toBe(9);
    expect(await search.inputValue()).toBe('');
  });

  it('moves when somebody goes live, and not under the pointer', async () => {
    const { world } = it_.site;
    await it_.page.mouse.move(5, 5);
    world.live = [...world.live, world.card('Fresh_Face', 'First stream ever', 50_000, 0)];
    it_.site.changed();
    await expect.poll(titles).toHaveLength(10);
    expect((await titles())[0]).toBe('First stream ever');
    await cards().nth(4).hover();
    world.live = [...world.live, world.card('Second', 'Even more viewers', 90_000, 0)];
    it_.site.changed();
    await expect.poll(titles).toHaveLength(11);
    expect((await titles()).at(-1)).toBe('Even more viewers');
    await it_.page.mouse.move(5, 5);
    await expect.poll(async () => (await titles())[0]).toBe('Even more viewers');
  });

  it('looks again by itself where events do not come', async () => {
    it_.site.failures.set('/site/v1/live/events', 429);
    it_.site.hangUp();
    const { world } = it_.site;
    world.live = world.live.slice(0, 2);
    it_.site.changed();
    await expect.poll(titles, { timeout: 20_000 }).toHaveLength(2);
    it_.site.failures.clear();
  });

  it('says when nobody is live', async () => {
    it_.site.world.live = [];
    it_.site.changed();
    await it_.page.reload();
    await it_.page.getByText('Nobody is live just now').waitFor();
    await it_.page.getByRole('link', { name: 'Open your own channel' }).waitFor();
    it_.site.world.live = [it_.site.world.card('Back', 'Back again', 1, 0)];
    it_.site.changed();
    await expect.poll(titles).toEqual(['Back again']);
  });

  it('says that the server is gone, shows what it knew, and that it is back', async () => {
    it_.site.failures.set('/site', 502);
    it_.site.hangUp();
    await it_.page.getByText('Nodi’s server does not answer').waitFor({ timeout: 30_000 });
    expect(await titles()).toEqual(['Back again']);
    it_.site.failures.clear();
    await it_.page.getByText('Nodi’s server does not answer').waitFor({ state: 'detached', timeout: 30_000 });
  });

  it('opens when the server is down, and comes to life with it', async () => {
    it_.site.failures.set('/site', 502);
    await it_.page.goto(it_.site.url);
    await it_.page.getByRole('alert').getByText('Nodi’s server does not answer').waitFor();
    it_.site.failures.clear();
    await it_.page.getByRole('button', { name: 'Try again' }).click();
    await expect.poll(titles).toEqual(['Back again']);
  });

  it('says so on pages that are somebody’s own, and they come to life too', async () => {
    for (const path of ['/studio', '/account', '/following', '/studio/ada']) {
      it_.site.failures.set('/site', 502);
      await it_.page.goto(it_.site.url + path);
      await it_.page.getByRole('alert').getByText('Nodi’s server does not answer').waitFor();
      it_.site.failures.clear();
      await it_.page.getByRole('button', { name: 'Try again' }).click();
      await it_.page
        .getByRole('main')
        .getByRole('button', { name: /^Sign in$/ })
        .waitFor();
    }
    await it_.page.goto(it_.site.url);
  });

  it('follows links without loading anew, and says when there is no such page', async () => {
    await it_.page.evaluate('window.same = true');
    await it_.page.getByRole('navigation', { name: 'Site' }).getByRole('link', { name: 'Following' }).click();
    await it_.page.getByText('Follow the channels you like').waitFor();
    expect(await it_.page.title()).toBe('Following · Nodi');
    expect(await it_.page.evaluate('document.activeElement.tagName')).toBe('H1');
    await it_.page.goBack();
    await expect.poll(titles).toEqual(['Back again']);
    expect(await it_.page.evaluate('window.same')).toBe(true);
    await it_.page.goto(`${it_.site.url}/nowhere`);
    await it_.page.getByText('There is no such page').waitFor();
    await it_.page.getByRole('link', { name: 'See who is live' }).click();
    await expect.poll(titles).toEqual(['Back again']);
  });

  it('breaks no rule of the page', () => {
    expect(it_.complaints).toEqual([]);
  });
});
