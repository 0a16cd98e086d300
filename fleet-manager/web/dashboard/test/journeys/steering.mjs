// From a box that asks to be let in to a stream that was ended, as an operator does it.

import { NewBox } from './box.mjs';
import { Person } from './browser.mjs';
import { Publisher } from './publisher.mjs';
import { expect, until } from './report.mjs';

/** The box's ladder starts, the first part goes out, and the box reports. */
const LIVE_MS = 45_000;

export async function steering({ platform, report, screenshots }) {
  report.journey('An operator lets a box in, makes a channel, sees it live and ends it');
  const person = await Person.open(platform);
  const { page } = person;
  const mark = Date.now().toString(36).slice(-5);
  const channel = `journey-${mark}`;
  const name = `Journey ${mark}`;
  let publisher;
  try {
    await report.step('log in', async () => {
      person.expectComplaint(/401/); // The page asks whether a cookie is still good.
      await person.logIn();
      await person.heading('Overview');
    });

    const box = new NewBox(platform, `Journey box ${mark}`);
    const waiting = await report.step('a new box waits', async () => {
      const answer = await box.ask();
      expect(answer.state === 'waiting', `the box was told ${JSON.stringify(answer)}`);
      return answer;
    });

    await report.step('approve the box', async () => {
      await page
        .getByRole('link', { name: /^Enrolment/ })
        .first()
        .click();
      await person.heading('Enrolment');
      const card = page.getByRole('listitem').filter({ hasText: waiting.code });
      await card.waitFor();
      await person.shoot(screenshots, 'step-1-waiting-box');
      await card.getByRole('button', { name: /^Approve/ }).click();
      const dialog = page.getByRole('dialog');
      await dialog.getByLabel('Name').fill(`Journey ${mark}`);
      await dialog.getByRole('button', { name: /^Approve/ }).click();
      await card.waitFor({ state: 'detached' });
      const answer = await until('the box to be let in', async () => {
        const next = await box.ask();
        return next.state === 'enrolled' ? next : null;
      });
      expect(answer.certificate_pem.includes('BEGIN CERTIFICATE'), 'the box got no certificate');
    });

    // `nodi-lab up --unclaimed 1` runs an agent that nobody has let in.
    const agent = (await platform.make('GET', '/enrolments')).items.find((item) => !item.rejected);
    if (agent !== undefined) {
      await report.step('approve a running box, which comes online', async () => {
        const card = page.getByRole('listitem').filter({ hasText: agent.code });
        await card.getByRole('button', { name: /^Approve/ }).click();
        const dialog = page.getByRole('dialog');
        await dialog.getByLabel('Name').fill(`Agent ${mark}`);
        await dialog.getByRole('button', { name: /^Approve/ }).click();
        await page
          .getByRole('link', { name: /^Boxes/ })
          .first()
          .click();
        await person.heading('Boxes');
        const row = page.getByRole('row').filter({ hasText: `Agent ${mark}` });
        // The page hears of it by itself. A box's health may be worth a word on a busy machine.
        await row
          .getByText(/Online|Warning|Critical/)
          .first()
          .waitFor({ timeout: 40_000 });
      });
    }

    await report.step('create a channel', async () => {
      await page
        .getByRole('link', { name: /^Channels/ })
        .first()
        .click();
      await person.heading('Channels');
      await page.getByRole('button', { name: 'New channel' }).first().click();
      const dialog = page.getByRole('dialog');
      await dialog.getByLabel('Name').fill(name);
      await dialog.getByLabel('Id').fill(channel);
      await dialog.getByRole('button', { name: 'Create channel' }).click();
      await person.heading(name);
    });

    const { server, key } = await report.step('mint a key', async () => {
      await page.getByRole('button', { name: 'New key' }).first().click();
      await page.getByRole('dialog').getByLabel('Label').fill('journey');
      await page.getByRole('dialog').getByRole('button', { name: 'Make key' }).click();
      const once = page.getByRole('dialog');
      const shown = once.getByLabel('Stream key', { exact: true });
      await shown.waitFor();
      const found = {
        key: await shown.inputValue(),
        server: await once.getByLabel('Server', { exact: true }).inputValue(),
      };
      expect(found.key.length > 20, `the key is ${found.key.length} characters long`);
      expect(/^rtmps?:\/\//.test(found.server), `the server is ${JSON.stringify(found.server)}`);
      await once.getByRole('button', { name: /stored it/ }).click();
      await once.waitFor({ state: 'detached' });
      expect(!(await page.content()).includes(found.key), 'the key is still in the page');
      return found;
    });

    await report.step(
      'the stream goes live',
      async () => {
        publisher = new Publisher(server, key);
        const gone = publisher.ended.then((said) => expect(false, said));
        const live = page.getByRole('status', { name: 'State' }).filter({ hasText: 'Live' });
        await Promise.race([live.waitFor({ timeout: LIVE_MS }), gone]);
        await person.shoot(screenshots, 'step-2-live-channel');
      },
      LIVE_MS + 5_000,
    );

    await report.step('see its health', async () => {
      await page
        .getByRole('link', { name: /^Streams/ })
        .first()
        .click();
      await person.heading('Streams');
      await page
        .getByRole('link', { name: new RegExp(name) })
        .first()
        .click();
      await person.heading(name);
      await page.getByText('960×540').first().waitFor();
      await page.getByRole('table', { name: 'Ladder' }).getByRole('row').nth(1).waitFor();
      await until('the way to the viewers', async () =>
        /up to date|behind/.test(await page.getByRole('main').innerText()),
      );
      await person.shoot(screenshots, 'step-3-stream');
    });

    await report.step('end it', async () => {
      await page.getByRole('button', { name: 'End stream' }).click();
      const dialog = page.getByRole('dialog');
      await dialog.getByLabel('Reason').fill('end of the journey');
      await dialog.getByRole('button', { name: 'End stream' }).click();
      const said = await Promise.race([
        publisher.ended,
        new Promise((resolve) => setTimeout(() => resolve(null), 20_000)),
      ]);
      expect(said !== null, 'the encoder still publishes 20 s later');
      await page.getByText(/ended/i).first().waitFor();
    });

    await report.step('the audit log shows it', async () => {
      await page
        .getByRole('link', { name: /^Audit/ })
        .first()
        .click();
      await person.heading('Audit');
      const log = page.getByRole('main');
      for (const target of [waiting.box_id, channel]) {
        await log.getByText(target).first().waitFor();
      }
      await log.getByText('end of the journey').first().waitFor();
      await person.shoot(screenshots, 'step-4-audit');
    });

    for (const complaint of person.takeComplaints()) report.finding('steering', complaint);
  } catch (error) {
    await person.shoot(screenshots, 'failed-steering').catch(() => {});
    throw error;
  } finally {
    await publisher?.stop();
    await person.close();
  }
}
