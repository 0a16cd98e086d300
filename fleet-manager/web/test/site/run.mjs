#!/usr/bin/env node
// Walks through the watch site in headless Chromium as viewers, streamers and moderators would, against a running platform
// with a live channel.
//
//   node run.mjs --lab-json FILE [--screenshots DIR] [--only NAME]
//
//   --lab-json F      what `nodi-lab up --json` printed: site_url, chat_ws_url, channel, logins, control
//   --screenshots D   a picture of each page, on a desktop's and a phone's screen, and of each step that shows something
//   --only N          one walk: evening, looks
//
// Ends with 0 when everything was as it should be, else with 1.

import { firstLine, Report } from '../../dashboard/test/journeys/report.mjs';
import { parseArguments } from '../arguments.mjs';
import { openCrowd } from '../browser.mjs';
import { evening } from './evening.mjs';
import { looks } from './looks.mjs';
import { readPlatform } from './platform.mjs';

const WALKS = { evening, looks };

const options = parseArguments(process.argv.slice(2), {
  'lab-json': 'text',
  screenshots: 'text',
  only: 'text',
});
if (options['lab-json'] === undefined) throw new Error('--lab-json is needed');
if (options.only !== undefined && !(options.only in WALKS)) {
  throw new Error(`no walk ${options.only}; there are ${Object.keys(WALKS).join(', ')}`);
}

const report = new Report();
const platform = readPlatform(options['lab-json']);
const crowd = await openCrowd();
try {
  for (const [name, walk] of Object.entries(WALKS)) {
    if (options.only !== undefined && options.only !== name) continue;
    try {
      await walk({ platform, report, crowd, screenshots: options.screenshots });
    } catch (error) {
      // A failed step has been told; the other walk goes on.
      if (!report.failures.some((failure) => failure.endsWith(firstLine(error)))) {
        report.finding(name, String(error?.stack ?? error));
      }
    }
  }
} finally {
  await crowd.close();
}
process.exit(report.end() ? 0 : 1);
