// What axe finds by machine, on every page of the fleet, by day and by night, wide and on a phone.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import * as axe from '../../../test/axe';
import { open, type Opened } from './open';

// The rule that is off reads the two numbers of a marker on the map as one.
const flaws = ({ page }: Opened) => axe.flaws(page, ['label-content-name-mismatch']);

describe.each([
  { screen: 'wide', phone: false, themes: ['light', 'dark'] as const },
  // The colours are the same ones.
  { screen: 'a phone', phone: true, themes: ['dark'] as const },
])('on $screen', ({ phone, themes }) => {
  let it_: Opened;
  beforeAll(async () => {
    it_ = await open({ boxes: 60, phone });
  });
  afterAll(() => it_.close());

  const first = () => it_.fixture.world.boxes[0]?.id ?? '';
  const second = () => it_.fixture.world.boxes[1]?.id ?? '';
  const pages: readonly [name: string, path: () => string, ready: string][] = [
    ['overview', () => '/', 'Live now'],
    ['boxes', () => '/boxes', 'Berlin 1'],
    ['health', () => `/boxes/${first()}`, 'Hottest temperature'],
    ['settings of a box', () => `/boxes/${second()}?view=settings`, 'Telemetry interval'],
    ['commands', () => `/boxes/${first()}?view=commands`, 'No command yet'],
    ['events', () => `/boxes/${first()}?view=events`, 'Certificate renewed'],
    ['about', () => `/boxes/${first()}?view=about`, 'Revoke this box'],
    ['software of a box', () => `/boxes/${first()}?view=software`, 'Being updated'],
    ['software', () => '/software', 'NVENC with the new rate control'],
    ['new rollout', () => '/software/rollouts/new', 'What will happen'],
    ['rollout', () => `/software/rollouts/${it_.fixture.rollout('Version 0.4.0')}`, 'The plan'],
    [
      'halted rollout',
      () => `/software/rollouts/${it_.fixture.rollout('Version 0.4.0 for Orin Nano')}`,
      'Rolled back',
    ],
    ['fleet settings', () => '/settings', 'Telemetry interval'],
    ['nothing', () => '/nowhere', 'There is no such page'],
  ];

  it.each(pages)('%s has no flaw that a machine finds', async (_, path, ready) => {
    for (const colorScheme of themes) {
      await it_.page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await it_.page.goto(it_.fixture.url + path());
      await it_.page.getByText(ready).first().waitFor();
      expect(await flaws(it_)).toEqual([]);
      const wider = await it_.page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      expect(wider, 'no sideways scrolling').toBeLessThanOrEqual(0);
    }
  });

  it('the editor has none', async () => {
    await it_.page.goto(`${it_.fixture.url}/settings`);
    await it_.page.getByRole('button', { name: 'Edit' }).click();
    await it_.page.getByText('What is encoded, best first').waitFor();
    expect(await flaws(it_)).toEqual([]);
  });

  it('a dialog has none', async () => {
    await it_.page.goto(`${it_.fixture.url}/boxes/${first()}?view=commands`);
    await it_.page.getByRole('button', { name: 'Reboot' }).click();
    await it_.page.getByRole('dialog').waitFor();
    expect(await flaws(it_)).toEqual([]);
  });
});
