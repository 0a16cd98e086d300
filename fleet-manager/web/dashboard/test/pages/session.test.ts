import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { open, type Opened } from './open';

describe('logging in', () => {
  let it_: Opened;
  beforeAll(async () => {
    it_ = await open({ boxes: 30 });
    it_.fixture.loggedIn = false;
  });
  afterAll(() => it_.close());

  const logIn = async (password: string) => {
    await it_.page.getByLabel('Password').fill(password);
    await it_.page.getByRole('button', { name: 'Log in' }).click();
  };

  it('says that the password is wrong', async () => {
    await it_.page.goto(`${it_.fixture.url}/boxes?state=online`);
    await it_.page.getByLabel('Name').fill('ada');
    await logIn('wrong');
    await it_.page.getByRole('alert').getByText('Name or password is wrong').waitFor();
    expect(await it_.page.getByLabel('Password').getAttribute('aria-invalid')).toBe('true');
  });

  it('leads to where one wanted to go', async () => {
    await logIn('correct horse');
    await it_.page.getByRole('table', { name: 'Boxes' }).waitFor();
    expect(it_.page.url()).toContain('/boxes?state=online');
  });

  it('is asked for again at the end of the session, and keeps what was typed', async () => {
    await it_.page.goto(`${it_.fixture.url}/settings`);
    await it_.page.getByRole('button', { name: 'Edit' }).click();
    await it_.page.getByLabel('Seconds between two measurements').fill('25');
    it_.fixture.loggedIn = false;
    await it_.page.getByRole('button', { name: 'Save for the whole fleet' }).click();
    await it_.page.getByText('Your session has ended').waitFor();
    await logIn('correct horse');
    await it_.page.getByText('Your session has ended').waitFor({ state: 'detached' });
    expect(await it_.page.getByLabel('Seconds between two measurements').inputValue()).toBe('25');
    await it_.page.getByRole('button', { name: 'Save for the whole fleet' }).click();
    await it_.page.getByText('every 25 s').waitFor();
    expect(it_.fixture.world.fleet.settings.telemetry_s).toBe(25);
  });
});

describe('a viewer', () => {
  let it_: Opened;
  beforeAll(async () => {
    it_ = await open({ boxes: 30, role: 'viewer' });
  });
  afterAll(() => it_.close());

  it('sees and cannot steer', async () => {
    const [box] = it_.fixture.world.boxes;
    await it_.page.goto(`${it_.fixture.url}/boxes/${box?.id ?? ''}?view=commands`);
    await it_.page.getByText('No command yet').waitFor();
    expect(await it_.page.getByRole('button', { name: 'Reboot' }).count()).toBe(0);
    expect(await it_.page.getByRole('link', { name: 'People' }).count()).toBe(0);
    await it_.page.goto(`${it_.fixture.url}/people`);
    await it_.page.getByText('Your role does not include this page').waitFor();
  });
});

describe('the connection', () => {
  let it_: Opened;
  beforeAll(async () => {
    it_ = await open({ boxes: 30 });
    await it_.page.goto(`${it_.fixture.url}/boxes`);
    await it_.page.locator('tbody tr[data-key]').first().waitFor();
  });
  afterAll(() => it_.close());

  it('resumes where it was', async () => {
    const [box] = it_.fixture.world.boxes;
    it_.fixture.emit('box', box);
    it_.fixture.emit('box', box);
    await expect.poll(() => it_.fixture.resumed.length, { timeout: 10_000 }).toBe(1);
    // The page has read both events when it shows what they say.
    if (box !== undefined) box.name = 'Renamed meanwhile';
    it_.fixture.emit('box', box);
    await it_.page.getByText('Renamed meanwhile').waitFor();
    it_.fixture.hangUp();
    await expect.poll(() => it_.fixture.resumed.length, { timeout: 15_000 }).toBe(2);
    expect(it_.fixture.resumed[1]).toBe('3');
  });

  it('says that it is gone, and that it is back', async () => {
    it_.fixture.failures.set('/events', 503);
    it_.fixture.hangUp();
    await it_.page.getByText('No connection to the fleet server').waitFor();
    it_.fixture.failures.clear();
    await it_.page.getByText('No connection to the fleet server').waitFor({ state: 'detached' });
  });

  it('shows errors in words, with a way to try again', async () => {
    it_.fixture.failures.set('/boxes/', 500);
    const [box] = it_.fixture.world.boxes;
    await it_.page.goto(`${it_.fixture.url}/boxes/${box?.id ?? ''}`);
    await it_.page.getByText('The fleet server has a problem').first().waitFor();
    it_.fixture.failures.clear();
    await it_.page.getByRole('button', { name: 'Try again' }).first().click();
    await it_.page.getByRole('heading', { level: 1, name: 'Renamed meanwhile' }).waitFor();
  });
});
