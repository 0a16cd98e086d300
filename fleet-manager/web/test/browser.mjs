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

/** @param {{ width?: number, height?: number, phone?: boolean }} options */
export async function openBrowser({ width = 1280, height = 800, phone = false } = {}) {
  const executablePath = CANDIDATES.find((path) => path !== undefined && existsSync(path));
  if (executablePath === undefined) throw new Error('no Chromium found; set NODI_CHROMIUM to its path');
  const profile = mkdtempSync(join(tmpdir(), 'nodi-chromium-'));
  try {
    const context = await chromium.launchPersistentContext(profile, {
      executablePath,
      headless: true,
      args: FLAGS,
      ignoreHTTPSErrors: true, // The lab's certificates are its own.
      viewport: phone ? { width: 390, height: 844 } : { width, height },
      ...(phone ? { hasTouch: true, isMobile: true, deviceScaleFactor: 2 } : {}),
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
