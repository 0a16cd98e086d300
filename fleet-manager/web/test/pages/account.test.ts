import { readFileSync } from 'node:fs';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { open, type Opened } from './open';

describe('an account', () => {
  let it_: Opened;
  beforeAll(async () => {
    it_ = await open();
  });
  afterAll(() => it_.close());

  const dialog = () => it_.page.getByRole('dialog');

  it('is opened from anywhere, and leads back there', async () => {
    const { page, site } = it_;
    await page.goto(`${site.url}/?q=chess`);
    await page.getByRole('button', { name: 'Sign up' }).click();
    await dialog().getByLabel('Name').fill('ta');
    await dialog().getByLabel('Password').fill('short');
    await dialog().getByRole('button', { name: 'Sign up' }).click();
    await dialog().getByText('At least 3 characters.').waitFor();
    await dialog().getByText('At least 10 characters.').waitFor();
    await dialog().getByLabel('Name').fill('ta-ken');
    await dialog().getByText('Only letters from A to Z').waitFor();
    expect(site.requests).not.toContain('POST /accounts');
    await dialog().getByLabel('Name').fill('Taken');
    await dialog().getByLabel('Password').fill('a few good words');
    await dialog().getByRole('button', { name: 'Sign up' }).click();
    await dialog().getByText('The name Taken is taken').waitFor();
    await dialog().getByLabel('Name').fill('Grace');
    await dialog().getByRole('button', { name: 'Sign up' }).click();
    await dialog().waitFor({ state: 'detached' });
    expect(page.url()).toContain('/?q=chess');
    await page.getByRole('button', { name: 'Menu of Grace' }).click();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByText('You are signed out').waitFor();
  });

  it('says that the password is wrong, and takes the right one', async () => {
    const { page, site } = it_;
    await page.goto(`${site.url}/following`);
    await page.getByRole('main').getByRole('button', { name: 'Sign in' }).click();
    await dialog().getByLabel('Name').fill('ada');
    await dialog().getByLabel('Password').fill('wrong');
    await page.keyboard.press('Enter');
    await dialog().getByText('Name or password is wrong').waitFor();
    await dialog().getByLabel('Password').fill(site.world.password);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Live now' }).waitFor();
    await page.getByRole('link', { name: 'Elsewhere' }).waitFor();
  });

  it('follows no more, and again', async () => {
    const { page, site } = it_;
    await page.getByRole('button', { name: 'Following Elsewhere' }).click();
    await page.getByRole('button', { name: 'Follow Elsewhere' }).waitFor();
    expect(site.world.follows.has('elsewhere')).toBe(false);
    await page.getByRole('button', { name: 'Follow Elsewhere' }).click();
    await page.getByRole('button', { name: 'Following Elsewhere' }).waitFor();
    expect(site.world.follows.has('elsewhere')).toBe(true);
  });

  it('has a colour that can be read by day and by night', async () => {
    const { page, site } = it_;
    await page.goto(`${site.url}/account`);
    await page.getByRole('button', { name: 'Yellow' }).click();
    await expect.poll(() => site.account?.color).toBe('#f2c14e');
    await page.getByText('there it is shown a little darker').waitFor();
    const day = page.getByText('By day').locator('..').locator('strong').first();
    const night = page.getByText('By night').locator('..').locator('strong').first();
    const colors = await Promise.all(
      [day, night].map((name) => name.evaluate((element) => getComputedStyle(element).color)),
    );
    expect(colors[1]).toBe('rgb(242, 193, 78)');
    expect(colors[0]).not.toBe(colors[1]);
    await page.getByRole('button', { name: 'Automatic' }).click();
    await expect.poll(() => site.account?.color).toBeNull();
  });

  it('changes its password with the one that it has', async () => {
    const { page, site } = it_;
    await page.getByLabel('Current password').fill('not this one');
    await page.getByLabel('New password').fill('other good words');
    await page.getByRole('button', { name: 'Change password' }).click();
    await page.getByText('this is not your password').waitFor();
    await page.getByLabel('Current password').fill(site.world.password);
    await page.getByRole('button', { name: 'Change password' }).click();
    await page.getByText('Your password is changed').waitFor();
  });

  it('takes its messages along, and erases them', async () => {
    const { page, site } = it_;
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Download a copy' }).click(),
    ]);
    expect(download.suggestedFilename()).toMatch(/^nodi-chat-\d{4}-\d\d-\d\d\.json$/);
    expect(JSON.parse(readFileSync(await download.path(), 'utf8'))).toEqual({
      messages: [{ id: 0 }, { id: 1 }, { id: 2 }],
    });
    await page.getByRole('button', { name: 'Erase all' }).click();
    await dialog().getByRole('button', { name: 'Erase my messages' }).click();
    await page.getByText('Your chat messages are erased').waitFor();
    expect(site.world.messages).toBe(0);
  });

  it('notices that the session ended', async () => {
    const { page, site } = it_;
    const { account } = site;
    site.account = null;
    await page.getByRole('button', { name: 'Coral' }).click();
    await page.getByRole('heading', { level: 1, name: 'Sign in' }).waitFor();
    site.account = account;
    await page.reload();
  });

  it('is deleted with its password alone', async () => {
    const { page, site } = it_;
    site.world.messages = 5;
    await page.getByRole('button', { name: 'Delete account…' }).click();
    await dialog().getByLabel('Your password, to be sure').fill('wrong');
    await dialog().getByRole('button', { name: 'Delete account' }).click();
    await dialog().getByText('this is not your password').waitFor();
    expect(site.world.messages).toBe(5);
    await dialog().getByLabel('Your password, to be sure').fill(site.world.password);
    await dialog().getByRole('button', { name: 'Delete account' }).click();
    await page.getByText('Your account is deleted').waitFor();
    expect(site.world.messages).toBe(0);
    await page.getByRole('button', { name: 'Sign in' }).waitFor();
  });

  it('breaks no rule of the page', () => {
    expect(it_.complaints).toEqual([]);
  });
});
