// A browser on a made-up fleet.

import type { Page } from 'playwright-core';
import { inject } from 'vitest';

import { openBrowser } from '../../../test/browser.mjs';
import { Fixture, type FixtureOptions } from '../fixture/server';

export interface Opened {
  readonly page: Page;
  readonly fixture: Fixture;
  /** What the browser complained about: errors, and breaches of the content security policy. */
  readonly complaints: string[];
  readonly close: () => Promise<void>;
}

export async function open(options: FixtureOptions & { phone?: boolean } = {}): Promise<Opened> {
  const fixture = await Fixture.start({ ...options, pages: inject('pages') });
  const { page, close } = await openBrowser({ width: 1280, height: 800, phone: options.phone ?? false });
  page.setDefaultTimeout(15_000);
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => {
    // A failed request is an answer that a test asked for.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
      complaints.push(message.text());
  });
  return {
    page,
    fixture,
    complaints,
    close: async () => {
      await close();
      await fixture.stop();
    },
  };
}
