// The ways in which logging in does not work, or no longer.

import { Person } from './browser.mjs';
import { expect } from './report.mjs';

export async function loggingIn({ platform, report, screenshots }) {
  report.journey('A wrong password, and a session that is over');
  const person = await Person.open(platform);
  const { page } = person;
  person.expectComplaint(/401/);
  try {
    await report.step('a wrong password is refused in words, and the name stays', async () => {
      await person.logIn({ name: platform.login.name, password: 'not the password' });
      const alert = page.getByRole('alert');
      await alert.first().waitFor();
      expect(
        /name|password/i.test(await alert.first().innerText()),
        `it says ${await alert.first().innerText()}`,
      );
      expect(
        (await page.getByLabel('Name', { exact: true }).inputValue()) === platform.login.name,
        'the name is gone',
      );
      await person.shoot(screenshots, 'step-5-wrong-password');
    });

    await report.step('the right one goes through', async () => {
      await page.getByLabel('Password', { exact: true }).fill(platform.login.password);
      await page.getByRole('button', { name: 'Log in' }).click();
      await person.heading('Overview');
    });

    await report.step(
      'a session that the server ended asks for the password, and goes on where it was',
      async () => {
        await person.goto('/channels');
        await person.heading('Channels');
        const credentials = await person.credentials();
        const out = await platform.call('POST', '/logout', {}, credentials);
        expect(out.status < 300, `POST /logout: ${out.status}`);
        // The next thing that somebody does finds out.
        await page
          .getByRole('link', { name: /^Audit/ })
          .first()
          .click();
        const password = page.getByLabel('Password', { exact: true });
        await password.waitFor();
        await person.shoot(screenshots, 'step-6-expired');
        const name = page.getByLabel('Name', { exact: true });
        if ((await name.count()) > 0 && (await name.isEditable())) await name.fill(platform.login.name);
        await password.fill(platform.login.password);
        await page.getByRole('button', { name: 'Log in' }).click();
        // The page beneath is there already: the form has to be gone.
        await password.waitFor({ state: 'detached' });
        await person.heading('Audit');
      },
    );

    await report.step('logging out leaves nothing behind', async () => {
      const credentials = await person.credentials();
      await page.getByRole('button', { name: 'Log out' }).first().click();
      await page.getByLabel('Password', { exact: true }).waitFor();
      const me = await platform.call('GET', '/me', undefined, { cookie: credentials.cookie });
      expect(me.status === 401, `the old cookie is answered ${me.status}`);
    });

    for (const complaint of person.takeComplaints()) report.finding('logging in', complaint);
  } catch (error) {
    await person.shoot(screenshots, 'failed-logging-in').catch(() => {});
    throw error;
  } finally {
    await person.close();
  }
}
