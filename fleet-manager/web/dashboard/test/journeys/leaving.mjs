// A box leaves the fleet: somebody reads its log, revokes it and takes it out of the list.

import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

import { NewBox } from './box.mjs';
import { Person } from './browser.mjs';
import { expect, until } from './report.mjs';

export async function leaving({ platform, report, screenshots }) {
  report.journey('A box leaves: its log is read, it is revoked and deleted');
  const person = await Person.open(platform);
  const { page } = person;
  const mark = Date.now().toString(36).slice(-5);
  try {
    await report.step('log in', async () => {
      person.expectComplaint(/401/);
      await person.logIn();
      await person.heading('Overview');
    });

    const running = (await platform.make('GET', '/boxes?per_page=50')).items.find(
      (one) => one.state === 'online',
    );
    await report.step("collect a running box's log and download it", async () => {
      expect(running !== undefined, 'no box is online');
      await person.goto(`/boxes/${running.id}?view=commands`);
      await page.getByRole('button', { name: 'Collect logs' }).click();
      await page.getByLabel('Time', { exact: true }).selectOption('15');
      await page.getByRole('dialog').getByRole('button', { name: 'Collect logs' }).click();
      const link = page.getByRole('link', { name: 'Download' }).first();
      await link.waitFor({ timeout: 30_000 });
      const [download] = await Promise.all([page.waitForEvent('download'), link.click()]);
      const text = gunzipSync(readFileSync(await download.path())).toString();
      expect(text.includes('nodi'), `the log says nothing of Nodi: ${JSON.stringify(text.slice(0, 200))}`);
      await person.shoot(screenshots, 'step-5-log');
    });

    const name = `Leaving ${mark}`;
    const id = await report.step('another box is there', async () => {
      const box = new NewBox(platform, name);
      const waiting = await box.ask();
      await platform.make('POST', `/enrolments/${waiting.box_id}/approve`, { name });
      await person.goto(`/boxes/${waiting.box_id}?view=about`);
      await person.heading(name);
      return waiting.box_id;
    });

    await report.step('revoke it', async () => {
      await page.getByRole('button', { name: 'Revoke…' }).click();
      const dialog = page.getByRole('dialog');
      await dialog.getByLabel('Reason').fill('given away');
      await dialog.getByRole('button', { name: 'Revoke the box' }).click();
      await page.getByText('given away').first().waitFor();
      await page.getByRole('button', { name: 'Delete…' }).waitFor();
      await person.shoot(screenshots, 'step-6-revoked');
      const state = (await platform.make('GET', `/boxes/${id}`)).state;
      expect(state === 'revoked', `the box is ${state}`);
    });

    await report.step('delete it', async () => {
      await page.getByRole('button', { name: 'Delete…' }).click();
      await page.getByRole('dialog').getByRole('button', { name: 'Delete the box' }).click();
      await person.heading('Boxes');
      await until('the box to be gone', async () => {
        const answer = await platform.call('GET', `/boxes/${id}`);
        return answer.status === 404;
      });
      expect((await page.getByRole('row').filter({ hasText: name }).count()) === 0, 'it is still listed');
    });

    for (const complaint of person.takeComplaints()) report.finding('leaving', complaint);
  } catch (error) {
    await person.shoot(screenshots, 'failed-leaving').catch(() => {});
    throw error;
  } finally {
    await person.close();
  }
}
