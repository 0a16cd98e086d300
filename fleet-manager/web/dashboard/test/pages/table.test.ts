import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { open, type Opened } from './open';

const BOXES = 5_000;

describe('the list of five thousand boxes', () => {
  let it_: Opened;
  beforeAll(async () => {
    it_ = await open({ boxes: BOXES });
    await it_.page.goto(`${it_.fixture.url}/boxes`);
    await it_.page.getByRole('table', { name: 'Boxes' }).waitFor();
    await it_.page.locator('tbody tr[data-key]').first().waitFor();
  });
  afterAll(() => it_.close());

  const rows = () => it_.page.locator('tbody tr[data-row]');

  it('draws what is on the screen, and says how many there are', async () => {
    expect(await rows().count()).toBeLessThan(60);
    expect(await it_.page.getByRole('table').getAttribute('aria-rowcount')).toBe(String(BOXES + 1));
    await it_.page.getByText('5,000 boxes').waitFor();
  });

  it('asks only for what is looked at', async () => {
    it_.fixture.requests.length = 0;
    await it_.page.evaluate(() => window.scrollTo(0, document.documentElement.scrollHeight / 2));
    await it_.page.locator('tbody tr[data-row="2500"][data-key]').waitFor();
    expect(it_.fixture.requests.filter((line) => line === 'GET /boxes').length).toBeLessThanOrEqual(3);
    expect(await rows().count()).toBeLessThan(60);
  });

  it('is gone through with the keyboard', async () => {
    await it_.page.evaluate(() => window.scrollTo(0, 0));
    await it_.page.locator('tr[data-row="0"] a').focus();
    await it_.page.keyboard.press('ArrowDown');
    await it_.page.locator('tr[data-row="1"] a:focus').waitFor();
    await it_.page.keyboard.press('End');
    await it_.page.locator(`tr[data-row="${BOXES - 1}"][data-key]`).waitFor();
    await it_.page.keyboard.press('Home');
    await it_.page.locator('tr[data-row="0"] a:focus').waitFor();
    await it_.page.keyboard.press('Enter');
    await it_.page.waitForURL('**/boxes/box-*');
    await it_.page.goBack();
    await it_.page.getByRole('table', { name: 'Boxes' }).waitFor();
  });

  it('keeps order and filters in the address', async () => {
    await it_.page.getByRole('button', { name: 'CPU' }).click();
    await it_.page.waitForURL('**/boxes?sort=-cpu');
    expect(await it_.page.getByRole('columnheader', { name: 'CPU' }).getAttribute('aria-sort')).toBe(
      'descending',
    );
    await it_.page.getByRole('searchbox').fill('pisa 7');
    await it_.page.waitForURL('**q=pisa+7**');
    await it_.page.getByText('11 boxes found').waitFor();
    await it_.page.reload();
    await it_.page.getByText('11 boxes found').waitFor();
    expect(await it_.page.getByRole('searchbox').inputValue()).toBe('pisa 7');
    await it_.page.getByRole('button', { name: 'Offline' }).click();
    await it_.page.waitForURL('**state=offline**');
  });

  it('says when nothing fits, and offers the way back', async () => {
    await it_.page.getByRole('searchbox').fill('nowhere at all');
    await it_.page.getByText('No box fits').waitFor();
    await it_.page.getByRole('button', { name: 'Show all boxes' }).click();
    await it_.page.getByText('5,000 boxes').waitFor();
    expect(new URL(it_.page.url()).searchParams.get('q')).toBeNull();
  });

  it('changes a row when the box does', async () => {
    const box = it_.fixture.world.boxes.find(({ name }) => name === 'Berlin 1');
    if (box === undefined) throw new Error('no such box');
    await it_.page.goto(`${it_.fixture.url}/boxes?q=Berlin+1`);
    const row = it_.page.locator(`tr[data-key="${box.id}"]`);
    await row.getByText('Online').waitFor();
    box.state = 'offline';
    it_.fixture.emit('box', box);
    await row.getByText('Offline').waitFor();
  });

  it('breaks no rule of the page', () => {
    expect(it_.complaints).toEqual([]);
  });
});
