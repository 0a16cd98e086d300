// One evening on one channel: who comes without an account reads, signs up, talks, is silenced for a while and comes back;
// the chat dies and returns; one rewinds, changes the rung, follows; the streamer changes the title.

import { expect, until } from '../../dashboard/test/journeys/report.mjs';
import { Visitor } from './visitor.mjs';

const PASSWORD = 'an evening of many streams';
/** A viewer's patience for a message to come through: the goal is 200 ms, which a busy machine may miss. */
const HEARD_MS = 20_000;
const SWITCH_MS = 30_000;

export async function evening({ platform, report, crowd, screenshots }) {
  report.journey('An evening on one channel');
  const mark = Date.now().toString(36).slice(-5);
  const newcomer = { name: `Guest_${mark}`, password: PASSWORD };
  const { streamer, moderator, viewers } = platform.logins;
  const people = [];
  const arrive = async (screen) => {
    const visitor = await Visitor.arrive(platform, crowd, screen);
    people.push(visitor);
    return visitor;
  };
  const said = [];
  const say = async (who, text) => {
    said.push(text);
    await who.says(text);
  };
  try {
    const guest = await arrive();
    await report.step('the site opens on a directory with the live channel', async () => {
      await guest.goto('/');
      await guest.heading('Live now');
      const card = guest.page.getByRole('list', { name: 'Live channels' }).getByRole('listitem').first();
      await card.getByText(streamer.name).first().waitFor();
      await until('its picture', () =>
        card
          .locator('img')
          .first()
          .evaluate((image) => image.complete && image.naturalWidth > 0),
      );
      await guest.shoot(screenshots, 'directory-desktop');
      await card.getByRole('link').first().click();
    });

    await report.step('who has no account watches', async () => {
      await guest.page.waitForURL(`**/watch/${platform.channel}`);
      await guest.watches();
    });

    const friend = await arrive();
    await report.step('and reads what somebody else says', async () => {
      await friend.toChannel();
      await friend.signIn(viewers[0]);
      await say(friend, `good evening ${mark}`);
      await guest.hears(`good evening ${mark}`, HEARD_MS);
    });

    await report.step('signs up without leaving the page', async () => {
      await guest.signUp(newcomer);
      await guest.watches();
    });

    await report.step('talks, and another browser shows it', async () => {
      const text = `hello from the newcomer ${mark}`;
      said.push(text);
      const seen = friend.awaitText(text);
      const sent = await guest.typesAndTells(text);
      const after = Math.round((await seen) - sent);
      report.note(`on the other screen ${after} ms after the key`);
      await guest.hears(text);
      await guest.shoot(screenshots, 'channel-desktop');
    });

    const keeper = await arrive();
    await report.step('a moderator times the newcomer out, who is told so and until when', async () => {
      await keeper.toChannel();
      await keeper.signIn(moderator);
      const message = keeper.message(`hello from the newcomer ${mark}`).first();
      await message.waitFor();
      const button = keeper.page.getByRole('button', { name: `Time out ${newcomer.name} for ` });
      await message.hover();
      await button.first().waitFor();
      await keeper.shoot(screenshots, 'moderation');
      await button.first().click();
      // While a moderator points at the list it stands still.
      await keeper.page.mouse.move(300, 300);
      // What the newcomer said is taken away.
      said.length = 0;
      const words = guest.page.getByText(/timed out until \d+:\d+/i).first();
      await words.waitFor();
      report.note(`the page says: ${(await words.innerText()).trim()}`);
      await guest.shoot(screenshots, 'timed-out');
    });

    await report.step('a time-out ends by itself', async () => {
      await keeper.types(`/untimeout ${newcomer.name}`);
      await guest.page
        .getByText(/timed out until/i)
        .first()
        .waitFor({ state: 'detached' });
      await keeper.types(`/timeout ${newcomer.name} 3s too loud`);
      await guest.page
        .getByText(/timed out until/i)
        .first()
        .waitFor();
      await guest.page
        .getByText(/timed out until/i)
        .first()
        .waitFor({ state: 'detached' });
      await say(guest, `sorry about that ${mark}`);
      await friend.hears(`sorry about that ${mark}`, HEARD_MS);
    });

    await report.step('slow mode says when the next message may come', async () => {
      await keeper.types('/slow 30s');
      await guest.page.getByRole('list', { name: 'How this chat works' }).getByText('Slow 30 s').waitFor();
      await guest.types(`too fast ${mark}`);
      // The last message was a moment ago.
      await guest.page.getByText(/you may speak again in/i).waitFor();
      await guest.page.getByRole('button', { name: /^Send, in \d+ seconds$/ }).waitFor();
      await guest.shoot(screenshots, 'slow-mode');
      expect((await friend.message(`too fast ${mark}`).count()) === 0, 'slow mode let it through');
      await keeper.types('/slowoff');
      await friend.page
        .getByText(/slow mode is over/i)
        .first()
        .waitFor();
      await guest.page.getByText(/you may speak again in/i).waitFor({ state: 'detached' });
      await guest.line.fill('');
    });

    await report.step(
      'the chat is killed, and comes back without a gap and without repeating itself',
      async () => {
        await say(friend, `before the kill ${mark}`);
        await guest.hears(`before the kill ${mark}`, HEARD_MS);
        await platform.order('kill', 'chat');
        await guest.page
          .getByText(/reconnecting|not reachable/i)
          .first()
          .waitFor();
        await guest.shoot(screenshots, 'chat-away');
        await guest.watches();
        await platform.order('restart', 'chat');
        const after = `after the kill ${mark}`;
        said.push(after);
        // What is typed meanwhile goes out when the chat is back.
        await friend.types(after);
        await Promise.all([guest, friend, keeper].map((who) => who.hears(after, 45_000)));
        for (const who of [guest, friend]) {
          const lines = (await who.read()).filter((line) => line.includes(mark));
          for (const text of said) {
            const times = lines.filter((line) => line.includes(text)).length;
            expect(times === 1, `“${text}” is there ${times} times: ${JSON.stringify(lines)}`);
          }
          expect((await who.page.getByText('Some messages were missed').count()) === 0, 'there is a gap');
        }
      },
    );

    await report.step('rewinds, and goes back to live', async () => {
      const bar = guest.page.getByRole('slider', { name: 'Rewind' });
      await guest.page.locator('video').hover();
      await until('the bar to be of use', async () => (await bar.getAttribute('aria-disabled')) !== 'true');
      await bar.focus();
      await bar.press('Home');
      const live = guest.page.getByRole('button', { name: 'Back to live' });
      await live.waitFor();
      await guest.watches();
      await guest.shoot(screenshots, 'rewound');
      await live.click();
      await guest.page.getByRole('button', { name: 'Playing live' }).waitFor();
      await guest.watches();
    });

    await report.step('changes the rung, and the picture with it', async () => {
      const height = () => guest.page.locator('video').evaluate((video) => video.videoHeight);
      const choose = async (choice) => {
        await guest.page.locator('video').hover();
        await guest.page.getByRole('button', { name: /^Quality/ }).click();
        await guest.page.getByRole('menuitemradio', { name: choice }).first().click();
      };
      for (const [choice, lines] of [
        [/180p/, 180],
        [/360p/, 360],
      ]) {
        await choose(choice);
        await until(`a picture of ${lines} lines`, async () => (await height()) === lines, SWITCH_MS);
      }
      await choose(/auto/i);
      await guest.watches();
    });

    await report.step('theatre mode, with the chat beside the picture', async () => {
      await guest.page.locator('video').hover();
      await guest.page.getByRole('button', { name: 'Theatre mode' }).click();
      const leave = guest.page.getByRole('button', { name: 'Leave theatre mode' });
      await leave.waitFor();
      await guest.page.getByLabel('Chat messages').waitFor();
      const over = await guest.page.evaluate(() => document.documentElement.scrollHeight - innerHeight);
      expect(over <= 0, `the page is ${over} px higher than the screen`);
      await guest.shoot(screenshots, 'channel-theatre');
      await leave.click();
      await guest.page.getByRole('banner').waitFor();
    });

    await report.step('follows the channel, and finds it again', async () => {
      await guest.page
        .getByRole('button', { name: /^Follow/ })
        .first()
        .click();
      await guest.page
        .getByRole('button', { name: /^(Following|Unfollow)/ })
        .first()
        .waitFor();
      await guest.goto('/following');
      await guest.heading('Following');
      await guest.page.getByRole('main').getByText(streamer.name).first().waitFor();
      await guest.shoot(screenshots, 'following');
      await guest.toChannel();
    });

    const owner = await arrive();
    await report.step('the streamer changes the title, and viewers see it in the directory', async () => {
      await friend.goto('/');
      await owner.goto('/studio');
      await owner.signIn(streamer);
      await owner.heading(/studio/i);
      await owner.page.getByRole('status', { name: 'State' }).getByText('Live').waitFor();
      await owner.page.getByRole('list').getByText(moderator.name).first().waitFor();
      await owner.settled();
      await owner.shoot(screenshots, 'studio');
      const title = `Stripes of the evening ${mark}`;
      await owner.page.getByLabel('Title', { exact: true }).fill(title);
      await owner.page.getByRole('button', { name: 'Save', exact: true }).click();
      await friend.page
        .getByRole('list', { name: 'Live channels' })
        .getByRole('link', { name: title })
        .waitFor();
    });

    for (const person of people) {
      for (const complaint of person.takeComplaints()) report.finding('evening', complaint);
    }
  } catch (error) {
    for (const [index, person] of people.entries()) {
      await person.shoot(screenshots, `failed-evening-${index + 1}`).catch(() => {});
    }
    throw error;
  } finally {
    await Promise.all(people.map((person) => person.close()));
  }
}
