// A headless Chromium with a fresh profile, gone without a trace afterwards.

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { chromium } from 'playwright-core';

const CANDIDATES = [
  process.env.NODI_CHROMIUM,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
];

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--autoplay-policy=no-user-gesture-required',
];

function chromiumPath() {
  const found = CANDIDATES.find((path) => path !== undefined && existsSync(path));
  if (found === undefined) throw new Error('no Chromium found; set NODI_CHROMIUM to its path');
  return found;
}

function screen({ width = 1280, height = 800, phone = false }) {
  return {
    ignoreHTTPSErrors: true, // The lab's certificates are its own.
    viewport: phone ? { width: 390, height: 844 } : { width, height },
    ...(phone ? { hasTouch: true, isMobile: true, deviceScaleFactor: 2 } : {}),
  };
}

/** @param {{ width?: number, height?: number, phone?: boolean }} options */
export async function openBrowser(options = {}) {
  const executablePath = chromiumPath();
  const profile = mkdtempSync(join(tmpdir(), 'nodi-chromium-'));
  try {
    const context = await chromium.launchPersistentContext(profile, {
      executablePath,
      headless: true,
      args: FLAGS,
      ...screen(options),
    });
    const page = context.pages()[0] ?? (await context.newPage());
    const close = async () => {
      await context.close().catch(() => {});
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    };
    return { page, close };
  } catch (error) {
    rmSync(profile, { recursive: true, force: true });
    throw error;
  }
}

/**
 * One Chromium for several people at a time, each with cookies and storage of their own: on two cores it costs half of what
 * one for each would.
 */
export async function openCrowd() {
  const browser = await chromium.launch({ executablePath: chromiumPath(), headless: true, args: FLAGS });
  return {
    /** @param {{ width?: number, height?: number, phone?: boolean }} options */
    async person(options = {}) {
      const context = await browser.newContext(screen(options));
      const page = await context.newPage();
      return { page, close: () => context.close().catch(() => {}) };
    },
    close: () => browser.close(),
  };
}
