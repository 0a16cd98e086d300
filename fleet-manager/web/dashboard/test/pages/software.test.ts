import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { open, type Opened } from './open';

const file = (text: string, name = 'nodi.raucb') => ({
  name,
  mimeType: 'application/octet-stream',
  buffer: Buffer.from(text.padEnd(200_000, ' ')),
});

describe('software', () => {
  let it_: Opened;
  beforeAll(async () => {
    it_ = await open({ boxes: 300 });
  });
  afterAll(() => it_.close());

  const go = async (path: string) => {
    await it_.page.goto(it_.fixture.url + path);
  };

  it('says in the navigation that rollouts want somebody', async () => {
    await go('/');
    await it_.page.getByRole('link', { name: /^Software 2 need somebody/ }).waitFor();
  });

  it('takes a bundle, and says why it takes another one not', async () => {
    await go('/software');
    const zone = it_.page.getByRole('region', { name: 'Bundles' });
    const input = zone.locator('input[type=file]');
    await zone.getByText('0.4.0').first().waitFor();
    await input.setInputFiles(file('this is a holiday picture'));
    await zone.getByRole('alert').getByText('It does not begin as a squashfs does').waitFor();
    await zone.getByRole('button', { name: 'Dismiss' }).click();
    await input.setInputFiles(file('version=0.5.0'));
    await it_.page.getByText('Version 0.5.0 for').first().waitFor();
    await zone.getByRole('listitem').filter({ hasText: '0.5.0' }).waitFor();
    // The same once more, dropped.
    const dropped = await it_.page.evaluateHandle(() => {
      const data = new DataTransfer();
      data.items.add(new File(['version=0.5.0'], 'again.raucb'));
      return data;
    });
    await zone.dispatchEvent('dragenter', { dataTransfer: dropped });
    await zone.getByText('Drop the bundle here').waitFor();
    await zone.dispatchEvent('drop', { dataTransfer: dropped });
    await zone.getByText('This bundle is there already').waitFor();
  });

  it('does not delete what a rollout needs', async () => {
    await go('/software');
    await it_.page.getByRole('button', { name: /^Delete version 0.4.0 for .*0003/ }).click();
    const dialog = it_.page.getByRole('dialog');
    await dialog.getByRole('button', { name: 'Delete bundle' }).click();
    await dialog.getByText('is not over and needs it').waitFor();
  });

  it('is rolled out with three clicks', async () => {
    await go('/software');
    await it_.page.getByRole('link', { name: 'New rollout' }).click();
    // The newest that some box has not; canaries are suggested; what will happen is said.
    const happens = it_.page.getByRole('region', { name: 'What will happen' });
    await happens.getByText(/boxes get version 0\.5\.0/).waitFor();
    await happens
      .getByText(/^First .* After them 10 % \(\d+\), then 50 % \(\d+\), then all \d+\.$/)
      .waitFor();
    await it_.page.getByRole('button', { name: /^Start on/ }).click();
    await it_.page.getByRole('heading', { level: 1, name: 'Version 0.5.0' }).waitFor();
    await it_.page.getByText('Running', { exact: true }).first().waitFor();
    const [made] = it_.fixture.world.software.rollouts;
    expect(made?.plan).toMatchObject({
      stages: [10, 50, 100],
      max_failures: 0,
      gate: 'automatic',
      force: false,
    });
    expect(made?.plan.canary.length).toBeGreaterThan(0);
  });

  it('is planned otherwise, too', async () => {
    await go('/software/rollouts/new');
    await it_.page.getByLabel('Only some').check();
    await it_.page.getByRole('button', { name: 'Choose boxes…' }).click();
    const dialog = it_.page.getByRole('dialog');
    await dialog.getByRole('searchbox').fill('Berlin');
    await dialog
      .getByLabel(/Berlin 2/)
      .first()
      .check();
    await dialog
      .getByLabel(/Berlin 3/)
      .first()
      .check();
    await dialog.getByRole('button', { name: /^Take \d+ boxes$/ }).click();
    await it_.page.getByLabel('Percent of the boxes').fill('50, 20');
    await it_.page.getByText('Each stage has to be greater').waitFor();
    await it_.page.getByRole('button', { name: 'All after the canaries' }).click();
    await it_.page.getByLabel('Do not wait for quiet boxes').check();
    await it_.page.getByText('every stream on them is cut off').waitFor();
    await it_.page.getByRole('button', { name: 'Save as a draft' }).click();
    await it_.page.getByText('Draft', { exact: true }).waitFor();
    const plan = it_.fixture.world.software.rollouts[0]?.plan;
    expect(plan).toMatchObject({ stages: [100], force: true });
    expect(plan?.boxes?.length).toBeGreaterThanOrEqual(2);
  });

  it('says why a rollout halted, and goes on once that is acknowledged', async () => {
    await go(`/software/rollouts/${it_.fixture.rollout('Version 0.4.0 for Orin Nano')}`);
    await it_.page
      .getByText(/rolled back: the health gate gave up after 300 s: ingest did not come up/)
      .waitFor();
    await it_.page.getByRole('button', { name: /^Failed/ }).click();
    await it_.page.getByRole('table').getByText('Silent').waitFor();
    await it_.page.getByRole('button', { name: 'Resume…' }).click();
    const dialog = it_.page.getByRole('dialog');
    await dialog.getByText('The health gate gave up after 300 s').waitFor();
    const resume = dialog.getByRole('button', { name: 'Resume without them' });
    expect(await resume.isDisabled()).toBe(true);
    await dialog.getByLabel('All 2 boxes').check();
    await resume.click();
    await it_.page.getByText('Running', { exact: true }).first().waitFor();
  });

  it('is continued at its gate, paused and aborted, each asked once', async () => {
    await go(`/software/rollouts/${it_.fixture.rollout('Old town first')}`);
    const dialog = it_.page.getByRole('dialog');
    for (const [button, confirm, state] of [
      ['Continue…', 'Begin the next stage', 'Running'],
      ['Pause…', 'Pause', 'Paused'],
      ['Abort…', 'Abort the rollout', 'Aborted'],
    ] as const) {
      await it_.page.getByRole('button', { name: button }).click();
      await dialog.getByRole('button', { name: confirm, exact: true }).click();
      await dialog.waitFor({ state: 'detached' });
      await it_.page.getByText(state, { exact: true }).first().waitFor();
    }
  });

  it('moves when a box does', async () => {
    const id = it_.fixture.rollout('Version 0.4.0');
    await go(`/software/rollouts/${id}?state=running`);
    const rollout = it_.fixture.world.software.rollouts.find((one) => one.id === id);
    const box = rollout?.boxes.find(({ state }) => state === 'downloading');
    if (box === undefined) throw new Error('nobody downloads');
    const row = it_.page.locator(`tr[data-key="${box.box}"]`);
    await row.getByText('Downloading').waitFor();
    it_.fixture.emit('updates', { ...box, rollout: id, state: 'installing', progress: 37, message: '' });
    await row.getByText('Installing').waitFor();
    await row.getByRole('progressbar', { name: /^Installing/ }).waitFor();
  });

  it('brings one box to another version', async () => {
    const box = it_.fixture.world.boxes[4];
    await go(`/boxes/${box?.id ?? ''}?view=software`);
    await it_.page.getByText('No update yet').waitFor();
    await it_.page.getByRole('button', { name: 'Update this box…' }).click();
    await it_.page.getByRole('dialog').getByRole('button', { name: 'Update the box' }).click();
    await it_.page.getByRole('heading', { name: 'Being updated' }).waitFor();
    await it_.page.getByRole('button', { name: 'Withdraw…' }).click();
    await it_.page.getByRole('dialog').getByRole('button', { name: 'Withdraw the update' }).click();
    await it_.page.getByText('Withdrawn', { exact: true }).first().waitFor();
  });

  it('is asked for by version in the list of boxes', async () => {
    await go('/boxes');
    await it_.page.getByLabel('Version', { exact: true }).selectOption('0.3.0');
    await it_.page.waitForURL('**version=0.3.0');
    await it_.page.getByText(/^34 boxes found$/).waitFor();
  });

  it('breaks no rule of the page', () => {
    expect(it_.complaints).toEqual([]);
  });
});

describe('a viewer of software', () => {
  let it_: Opened;
  beforeAll(async () => {
    it_ = await open({ boxes: 60, role: 'viewer' });
  });
  afterAll(() => it_.close());

  it('sees and cannot steer', async () => {
    await it_.page.goto(`${it_.fixture.url}/software`);
    await it_.page.getByText('0.4.0').first().waitFor();
    for (const name of ['Add a bundle', /^Delete/, /^Roll out/]) {
      expect(await it_.page.getByRole('button', { name }).count()).toBe(0);
      expect(await it_.page.getByRole('link', { name }).count()).toBe(0);
    }
    await it_.page.goto(`${it_.fixture.url}/software/rollouts/${it_.fixture.rollout('Version 0.4.0')}`);
    await it_.page.getByText('At work').first().waitFor();
    expect(await it_.page.getByRole('button', { name: /…$/ }).count()).toBe(0);
    await it_.page.goto(`${it_.fixture.url}/software/rollouts/new`);
    await it_.page.getByText('Your role does not include this page').waitFor();
  });
});
