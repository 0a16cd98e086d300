// Every page on a desktop and on a phone: it fills, complains of nothing, fits the screen, can be read by everybody.

import { Person } from './browser.mjs';

/** Address, heading, and the picture's name. `boxes/:id` and `channels/:id` take the first one that there is. */
const PAGES = [
  ['/', 'Overview', 'overview'],
  ['/boxes', 'Boxes', 'boxes'],
  ['/boxes/:box', null, 'box'],
  ['/streams', 'Streams', 'streams'],
  ['/streams/:session', null, 'stream'],
  ['/channels', 'Channels', 'channels'],
  ['/channels/:channel', null, 'channel'],
  ['/go-live', 'Go live', 'go-live'],
  ['/go-live/:channel', 'Go live', 'go-live-channel'],
  ['/enrolments', 'Enrolment', 'enrolment'],
  ['/alerts', 'Alerts', 'alerts'],
  ['/software', 'Software', 'software'],
  ['/software/rollouts/new', 'New rollout', 'rollout-new'],
  ['/software/rollouts/:rollout', null, 'rollout'],
  ['/boxes/:box?view=software', null, 'box-software'],
  ['/webhooks', 'Webhooks', 'webhooks'],
  ['/people', 'People', 'people'],
  ['/tokens', 'API tokens', 'tokens'],
  ['/settings', /settings/i, 'settings'],
  ['/audit', 'Audit log', 'audit'],
  ['/streams?view=history', 'Streams', 'history'],
  ['/alerts?view=past', 'Alerts', 'alerts-past'],
  ['/account', 'Account', 'account'],
  ['/no/such/page', /not found|no such/i, 'not-found'],
];

/** Each screen in one theme shows a page that does not fit; all four are for a person who looks at them. */
const FEW = [
  ['desktop', 'light'],
  ['phone', 'dark'],
];
const ALL = [...FEW, ['desktop', 'dark'], ['phone', 'light']];

export async function pages({ platform, report, screenshots, everything }) {
  report.journey('Every page, on a desktop and on a phone');
  const first = async (path, key) => (await platform.make('GET', `${path}?per_page=1`)).items[0]?.[key];
  const filled = {
    ':box': await first('/boxes', 'id'),
    ':session': await first('/sessions', 'session'),
    ':rollout': await first('/rollouts', 'id'),
    ':channel': (await first('/sessions', 'channel')) ?? (await first('/channels', 'id')),
  };
  for (const [screen, theme] of everything ? ALL : FEW) {
    const person = await Person.open(platform, screen);
    try {
      await person.page.emulateMedia({ colorScheme: theme });
      await report.step(`log in on a ${screen} (${theme})`, async () => {
        person.expectComplaint(/401/);
        await person.goto('/');
        await person.page.getByLabel('Password', { exact: true }).waitFor();
        await person.shoot(screenshots, `${screen}-${theme}-login`);
        for (const finding of await person.findings()) report.finding(`${screen} log-in`, finding);
        await person.logIn();
        await person.heading('Overview');
      });
      for (const [pattern, heading, name] of PAGES) {
        const slot = Object.keys(filled).find((key) => pattern.includes(key));
        if (slot !== undefined && filled[slot] === undefined) continue;
        const path = slot === undefined ? pattern : pattern.replace(slot, encodeURIComponent(filled[slot]));
        try {
          await report.step(`${screen} ${path}`, async () => {
            await person.goto(path);
            await person.heading(heading ?? /./);
            await person.settled();
            await person.shoot(screenshots, `${screen}-${theme}-${name}`);
            for (const finding of await person.findings()) report.finding(`${screen} ${path}`, finding);
            for (const complaint of person.takeComplaints()) report.finding(`${screen} ${path}`, complaint);
          });
        } catch {
          await person.shoot(screenshots, `failed-${screen}-${theme}-${name}`).catch(() => {});
          person.takeComplaints();
        }
      }
    } finally {
      await person.close();
    }
  }
}
