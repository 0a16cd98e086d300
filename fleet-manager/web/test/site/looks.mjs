// Every page on a desktop and on a phone: it fills, complains of nothing, fits the screen, can be read by everybody.

import { expect } from '../../dashboard/test/journeys/report.mjs';
import { Visitor } from './visitor.mjs';

export async function looks({ platform, report, crowd, screenshots }) {
  report.journey('Every page, on a desktop and on a phone');
  const { channel, logins } = platform;
  /** Address, what it looks like when it is there, and the picture's name. */
  const pages = [
    ['/', (page) => page.getByRole('list', { name: 'Live channels' }), 'directory'],
    [`/watch/${channel}`, (page) => page.getByLabel('Chat messages'), 'channel'],
    [
      '/watch/nobody-has-this-one',
      (page) =>
        page
          .getByRole('main')
          .getByText(/no such|not found|no channel/i)
          .first(),
      'no-channel',
    ],
    ['/following', (page) => page.getByRole('heading', { level: 1 }), 'following'],
    ['/account', (page) => page.getByRole('heading', { level: 1 }), 'account'],
    [`/studio/${channel}`, (page) => page.getByRole('heading', { level: 1 }), 'studio'],
  ];
  for (const screen of ['desktop', 'phone']) {
    const person = await Visitor.arrive(platform, crowd, screen);
    const { page } = person;
    // Asking for a channel that is not there is a 404 in the console.
    person.expectComplaint(/nobody-has-this-one/);
    try {
      if (screen === 'phone') {
        await report.step('on a phone the picture is above and the chat below it', async () => {
          await person.toChannel();
          await person.watches();
          const box = (locator) => locator.boundingBox();
          const [video, chat] = await Promise.all([
            box(page.locator('video')),
            box(page.getByLabel('Chat messages')),
          ]);
          expect(
            video.y + video.height <= chat.y + 1,
            `the picture ends at ${video.y + video.height}, the chat begins at ${chat.y}`,
          );
          expect(video.width >= 380, `the picture is ${video.width} px wide`);
          expect(chat.height >= 150, `the chat is ${chat.height} px high`);
          expect(chat.y + chat.height <= 844, 'the chat goes on below the screen');
          await person.shoot(screenshots, 'channel-phone-anonymous');
        });
      }
      await report.step(`signs in on a ${screen}`, async () => {
        await person.goto('/');
        await person.signIn(logins.streamer);
      });
      for (const [path, there, name] of pages) {
        await report.step(`${path} on a ${screen}`, async () => {
          await person.goto(path);
          await there(page).waitFor({ timeout: 20_000 });
          await person.settled();
          if (name === 'channel') await person.watches();
          await person.shoot(screenshots, `${name}-${screen}`);
          for (const finding of await person.findings()) report.finding(`${path} on a ${screen}`, finding);
          for (const complaint of person.takeComplaints())
            report.finding(`${path} on a ${screen}`, complaint);
        });
      }
    } catch (error) {
      await person.shoot(screenshots, `failed-looks-${screen}`).catch(() => {});
      throw error;
    } finally {
      await person.close();
    }
  }
}
