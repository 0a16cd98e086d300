// A browser on a made-up site.

import type { Page } from 'playwright-core';
import { inject } from 'vitest';

import { openBrowser } from '../browser.mjs';
import { Site, type SiteOptions } from '../fixture/server';

export interface Opened {
  readonly page: Page;
  readonly site: Site;
  /** What the browser complained about: errors, and breaches of the content security policy. */
  readonly complaints: string[];
  readonly close: () => Promise<void>;
}

export async function open(options: SiteOptions & { phone?: boolean } = {}): Promise<Opened> {
  const site = await Site.start({ ...options, pages: inject('site') });
  const { page, close } = await openBrowser({ width: 1280, height: 800, phone: options.phone ?? false });
  page.setDefaultTimeout(15_000);
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => {
    // A failed request is an answer that a test asked for.
    const text = message.text();
    if (message.type() === 'error' && !text.startsWith('Failed to load resource')) complaints.push(text);
  });
  return {
    page,
    site,
    complaints,
    close: async () => {
      await close();
      await site.stop();
    },
  };
}
