// A role that is too small: nothing is offered that the server would refuse, and the server refuses it.

import { Person } from './browser.mjs';
import { expect } from './report.mjs';

const PASSWORD = 'a journey of a thousand streams';

/** What only others may press, by page. */
const NOT_FOR_VIEWERS = [
  ['/channels', 'Channels', ['New channel']],
  ['/streams', 'Streams', ['End stream']],
  ['/boxes/:box', /./, [/reboot/i, /^revoke/i, /restart/i, /^change/i]],
  ['/alerts', 'Alerts', ['Acknowledge']],
  ['/enrolments', 'Enrolment', ['Approve', 'Turn away', 'New claim code']],
  ['/software', 'Software', ['Add a bundle']],
  ['/settings', /settings/i, ['Save', 'Publish']],
];

const NOT_IN_THE_MENU = ['People', 'Webhooks', 'Audit log'];

const REFUSED = [
  ['POST', '/channels', { display_name: 'Mine' }],
  ['POST', '/claim-codes', {}],
  ['POST', '/bundles', {}],
  ['POST', '/rollouts', { name: 'mine' }],
  ['POST', '/people', { name: 'more', password: PASSWORD, role: 'administrator' }],
  ['GET', '/people'],
  ['GET', '/webhooks'],
  ['GET', '/audit'],
  ['PUT', '/fleet/settings', { expected_version: 0, settings: {} }],
];

export async function roles({ platform, report, screenshots }) {
  report.journey('A viewer looks and cannot touch; a streamer sees only what is theirs');
  const mark = Date.now().toString(36).slice(-5);
  const viewer = { name: `viewer-${mark}`, password: PASSWORD };
  const streamer = { name: `streamer-${mark}`, password: PASSWORD };
  const channel = `own-${mark}`;
  await report.step('an administrator makes both', async () => {
    await platform.make('POST', '/people', { ...viewer, role: 'viewer' });
    const made = await platform.make('POST', '/people', { ...streamer, role: 'streamer' });
    await platform.make('POST', '/channels', { id: channel, display_name: `Own ${mark}`, owner: made.id });
    await platform.make('POST', '/channels', { id: `other-${mark}`, display_name: `Other ${mark}` });
  });

  const box = (await platform.make('GET', '/boxes?per_page=1')).items[0]?.id;
  await as(viewer, async (person) => {
    const { page } = person;
    for (const [pattern, heading, buttons] of NOT_FOR_VIEWERS) {
      if (pattern.includes(':box') && box === undefined) continue;
      const path = pattern.replace(':box', box);
      await report.step(`a viewer on ${path} is offered nothing to press`, async () => {
        await person.goto(path);
        await person.heading(heading);
        await person.settled();
        for (const name of buttons) {
          expect((await page.getByRole('button', { name }).count()) === 0, `the button “${name}” is there`);
        }
        for (const name of NOT_IN_THE_MENU) {
          const link = page.getByRole('navigation').getByRole('link', { name, exact: true });
          expect((await link.count()) === 0, `the menu has “${name}”`);
        }
      });
    }
    await report.step('an address that is not for viewers says so', async () => {
      await person.goto('/people');
      await page
        .getByText(/may not|administrator/i)
        .first()
        .waitFor();
      await person.shoot(screenshots, 'step-7-not-for-viewers');
    });
    await report.step('the server refuses a viewer as well', async () => {
      const credentials = await person.credentials();
      for (const [method, path, body] of REFUSED) {
        const answer = await platform.call(method, path, body, credentials);
        expect(answer.status === 403, `${method} ${path} is answered ${answer.status}`);
        expect(typeof answer.body?.detail === 'string', `${method} ${path}: no words with the refusal`);
      }
    });
    await report.step('and a change without the CSRF token, whoever asks', async () => {
      const { cookie } = await person.credentials();
      const answer = await platform.call(
        'POST',
        '/me/password',
        { current: PASSWORD, new: `${PASSWORD}!` },
        { cookie },
      );
      expect(answer.status === 403, `answered ${answer.status}`);
    });
  });

  await as(streamer, async (person) => {
    const { page } = person;
    await report.step('a streamer finds the way to go live, and no other channel', async () => {
      await person.heading('Go live');
      await page.getByText(`Own ${mark}`).first().waitFor();
      expect(!(await page.content()).includes(`Other ${mark}`), 'another channel is shown');
      await person.shoot(screenshots, 'step-8-streamer');
      const credentials = await person.credentials();
      const other = await platform.call('GET', `/channels/other-${mark}`, undefined, credentials);
      expect([403, 404].includes(other.status), `GET of another channel is answered ${other.status}`);
    });
  });

  async function as(login, work) {
    const person = await Person.open(platform);
    person.expectComplaint(/401|403/);
    try {
      await report.step(`log in as ${login.name}`, async () => {
        await person.logIn(login);
        await person.page.getByRole('navigation').first().waitFor();
      });
      await work(person);
      for (const complaint of person.takeComplaints()) report.finding(login.name, complaint);
    } catch (error) {
      await person.shoot(screenshots, `failed-${login.name}`).catch(() => {});
      throw error;
    } finally {
      await person.close();
    }
  }
}
