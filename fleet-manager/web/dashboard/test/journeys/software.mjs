// New software for the fleet, as an operator brings it there: a bundle is uploaded, rolled out, and one that is no good is
// stopped by its first box. The boxes are simulated ones: a version with “broken” in it never passes their trial.

import { Bundles } from './bundle.mjs';
import { Person } from './browser.mjs';
import { expect, until } from './report.mjs';

/** A stage of simulated boxes takes some ten seconds. */
const STAGE_MS = 45_000;

export async function software({ platform, report, screenshots }) {
  const rows = await platform.make('GET', '/software');
  const compatible = rows.find((row) => row.compatible !== null)?.compatible;
  if (compatible === undefined) return;
  report.journey('An operator rolls out a new version, and one that is broken');
  const mark = Date.now().toString(36).slice(-5);
  const person = await Person.open(platform);
  const { page } = person;
  const dialog = page.getByRole('dialog');
  const files = new Bundles();
  const state = (text, ms = STAGE_MS) =>
    page.locator('main header').getByText(text, { exact: true }).waitFor({ timeout: ms });
  const look = async (name) => {
    await person.settled();
    await person.shoot(screenshots, name);
    for (const finding of await person.findings()) report.finding(name, finding);
  };
  try {
    await report.step('log in', async () => {
      person.expectComplaint(/401/);
      await person.logIn();
      await person.heading('Overview');
    });

    await report.step('what is no bundle is refused in words', async () => {
      await page
        .getByRole('link', { name: /^Software/ })
        .first()
        .click();
      await person.heading('Software');
      person.expectComplaint(/422/);
      await page.locator('input[type=file]').setInputFiles(files.picture());
      await page.getByText('This is not a bundle that the server can read').waitFor();
      await look('step-8-not-a-bundle');
      await page.getByRole('button', { name: 'Dismiss' }).click();
    });

    const good = `9.1.${mark}`;
    const broken = `9.2.${mark}-broken`;
    for (const version of [good, broken]) {
      await report.step(`upload version ${version}`, async () => {
        const file = files.make({ version, compatible, description: `Journey ${mark}` });
        await page.locator('input[type=file]').setInputFiles(file);
        const listed = page.getByRole('listitem').filter({ hasText: version });
        await listed.getByRole('code').filter({ hasText: compatible }).waitFor();
        await listed.getByText(`Journey ${mark}`).waitFor();
      });
    }
    await look('step-9-bundles');

    const total = await report.step('plan a rollout', async () => {
      await page.getByRole('link', { name: `Roll out version ${good} for ${compatible}` }).click();
      await person.heading('New rollout');
      const happens = page.getByRole('region', { name: 'What will happen' });
      const line = await happens.getByText(/get version/).innerText();
      const covered = Number(/^[\d,]+/.exec(line)?.[0].replaceAll(',', ''));
      const online = rows.filter((row) => row.compatible === compatible);
      expect(
        covered === online.reduce((sum, row) => sum + row.boxes, 0),
        `it would go to ${covered} boxes; the fleet has ${JSON.stringify(online)}`,
      );
      await page.getByLabel('Percent of the boxes').fill('100');
      await page.getByLabel('Between two stages').selectOption('manual');
      await page.getByLabel('After a stage, watch it for').selectOption('0');
      await page.getByLabel('Do not wait for quiet boxes').check();
      await look('step-10-plan');
      return covered;
    });

    await report.step('start it, pause it, resume it', async () => {
      await page.getByRole('button', { name: /^Start on/ }).click();
      await person.heading(`Version ${good}`);
      await state('Running');
      await page.getByRole('button', { name: 'Pause…' }).click();
      await dialog.getByRole('button', { name: 'Pause', exact: true }).click();
      await state('Paused');
      await page.getByRole('button', { name: 'Resume…' }).click();
      await dialog.getByRole('button', { name: 'Resume', exact: true }).click();
      await state('Running');
    });

    await report.step('the canary comes through, and the gate waits', async () => {
      await state('Waits for you');
      await look('step-11-gate');
    });

    await report.step('continue, and every box confirms it', async () => {
      await page.getByRole('button', { name: 'Continue…' }).click();
      await dialog.getByRole('button', { name: 'Begin the next stage' }).click();
      await state('Running');
      await look('step-12-running');
      await state('Done');
      await page.getByText(new RegExp(`^${total} of ${total} boxes run`)).waitFor();
      const after = await platform.make('GET', '/software');
      const running = after.find((row) => row.version === good && row.compatible === compatible);
      expect(running?.boxes === total, `the fleet runs ${JSON.stringify(after)}`);
    });

    await report.step('the broken one is stopped by its first box, which says why', async () => {
      await person.goto('/software');
      await page.getByRole('link', { name: `Roll out version ${broken} for ${compatible}` }).click();
      await person.heading('New rollout');
      await page
        .getByRole('listitem')
        .filter({ hasText: /^First / })
        .waitFor();
      await page.getByLabel('After a stage, watch it for').selectOption('0');
      await page.getByLabel('Do not wait for quiet boxes').check();
      await page.getByRole('button', { name: /^Start on/ }).click();
      await state('Halted');
      await page
        .getByText(/rolled back: ingest did not come up/)
        .first()
        .waitFor();
      await page
        .getByRole('link', { name: /^Software 1 need/ })
        .first()
        .waitFor();
      await look('step-13-halted');
    });

    await report.step('it goes on only once the failure is acknowledged, and halts again', async () => {
      const resume = dialog.getByRole('button', { name: 'Resume without them' });
      await page.getByRole('button', { name: 'Resume…' }).click();
      await dialog.getByText(/ingest did not come up/i).waitFor();
      expect(await resume.isDisabled(), 'it can be resumed unseen');
      await look('step-14-resume');
      await dialog.getByRole('checkbox').first().check();
      await resume.click();
      await dialog.waitFor({ state: 'detached' });
      await state('Running');
      await state('Halted');
    });

    await report.step('abort it', async () => {
      await page.getByRole('button', { name: 'Abort…' }).click();
      await dialog.getByRole('button', { name: 'Abort the rollout' }).click();
      await state('Aborted');
      await until('nobody to run it', async () => {
        const after = await platform.make('GET', '/software');
        return !after.some((row) => row.version === broken);
      });
      await look('step-15-aborted');
    });

    await report.step('a box tells both stories', async () => {
      await page.getByRole('button', { name: /^Failed/ }).click();
      await page.getByRole('row').nth(1).getByRole('link').click();
      await page.getByRole('heading', { name: 'Updates', exact: true }).waitFor();
      await page.getByText('Rolled back', { exact: true }).first().waitFor();
      await page.getByText('Confirmed', { exact: true }).first().waitFor();
      await look('step-16-box');
    });

    await report.step('what nobody needs is deleted', async () => {
      await person.goto('/software');
      await page.getByRole('button', { name: `Delete version ${broken} for ${compatible}` }).click();
      await dialog.getByRole('button', { name: 'Delete bundle' }).click();
      await page.getByText(`Version ${broken} is deleted.`).waitFor();
    });

    for (const complaint of person.takeComplaints()) report.finding('software', complaint);
  } catch (error) {
    await person.shoot(screenshots, 'failed-software').catch(() => {});
    throw error;
  } finally {
    files.remove();
    await person.close();
  }
}
