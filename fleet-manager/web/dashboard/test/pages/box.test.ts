import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { open, type Opened } from './open';

describe('one box', () => {
  let it_: Opened;
  let address: string;
  beforeAll(async () => {
    it_ = await open({ boxes: 30 });
    address = `${it_.fixture.url}/boxes/${it_.fixture.world.boxes[0]?.id ?? ''}`;
  });
  afterAll(() => it_.close());

  it('draws its charts, and says in words what they show', async () => {
    await it_.page.goto(address);
    const load = it_.page.getByRole('img', { name: /^Load\. Encoder: now \d+ %, from \d+ % to \d+ %/ });
    await load.waitFor();
    await it_.page.getByRole('button', { name: '7 days' }).click();
    await it_.page.waitForURL('**span=7d');
    await load.waitFor();
  });

  it('moves when the box measures', async () => {
    await it_.page.goto(address);
    await it_.page.getByRole('img', { name: /^Load/ }).waitFor();
    const [box] = it_.fixture.world.boxes;
    // Only who watches this box hears of it.
    await expect.poll(() => it_.fixture.watched(box?.id ?? '')).toBe(true);
    it_.fixture.emit(
      'telemetry',
      { box_id: box?.id, at_ms: Date.now() + 1, values: { cpu: 0.987, encoder: 0.5, gpu: 0.1 } },
      box?.id ?? null,
    );
    await it_.page.getByRole('img', { name: /CPU: now 99 %/ }).waitFor();
  });

  it('asks once before a command, and shows how it goes', async () => {
    await it_.page.goto(`${address}?view=commands`);
    await it_.page.getByRole('button', { name: 'Reboot' }).click();
    const dialog = it_.page.getByRole('dialog');
    await dialog.getByText('The box is offline for a minute or two.').waitFor();
    expect(it_.fixture.world.commands).toEqual([]);
    await dialog.getByRole('button', { name: 'Cancel' }).click();
    await dialog.waitFor({ state: 'detached' });
    expect(it_.fixture.world.commands).toEqual([]);
    await it_.page.getByRole('button', { name: 'Measure uplink' }).click();
    await dialog.getByRole('button', { name: 'Measure uplink' }).click();
    await it_.page.getByRole('progressbar').waitFor();
    await it_.page.getByText('Succeeded').first().waitFor();
    await it_.page.getByText('91.4 Mbit/s').waitFor();
    expect(it_.fixture.world.commands.length).toBe(1);
  });

  it('does not lose what two people set at once', async () => {
    await it_.page.goto(`${address}?view=settings`);
    await it_.page.getByRole('button', { name: 'Edit' }).click();
    await it_.page.getByLabel('Set here: Drain').check();
    await it_.page.getByLabel('No: new streams are taken').check();
    // Meanwhile somebody else sets another one.
    const [box] = it_.fixture.world.boxes;
    if (box === undefined) throw new Error('no box');
    it_.fixture.world.own.set(box.id, { log_level: 'debug' });
    box.desired_version += 1;
    await it_.page.getByRole('button', { name: 'Save for this box' }).click();
    await it_.page.getByText('Somebody saved other settings meanwhile').waitFor();
    await it_.page.getByText('Log level: debug').waitFor();
    await it_.page.getByRole('button', { name: 'Save for this box' }).click();
    await it_.page.getByText('Desired and reported').waitFor();
    expect(it_.fixture.world.own.get(box.id)).toEqual({ log_level: 'debug', drain: true });
  });

  it('shows why the box refused', async () => {
    await it_.page.goto(`${it_.fixture.url}/boxes/${it_.fixture.world.boxes[1]?.id ?? ''}?view=settings`);
    await it_.page.getByText('rung "4k" needs more encoder').waitFor();
  });

  it('says that there is no such box', async () => {
    await it_.page.goto(`${it_.fixture.url}/boxes/box-nobody`);
    await it_.page.getByText('There is no box with this id').waitFor();
  });

  it('breaks no rule of the page', () => {
    expect(it_.complaints).toEqual([]);
  });
});
