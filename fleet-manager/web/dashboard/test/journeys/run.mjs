#!/usr/bin/env node
// Walks through the dashboard in headless Chromium as people would, against a running platform.
//
//   node run.mjs --lab-json FILE [--screenshots DIR] [--only NAME]
//
//   --lab-json F      what `nodi-lab up --json` printed: fleet_url, the administrator's login, api_token
//   --screenshots D   a picture of every page on a desktop's and a phone's screen, and of each step that shows something
//   --only N          one journey: steering, logging-in, roles, leaving, software (for simulated boxes), pages
//   --everything      pages on both screens in both themes, instead of each in one of them
//
// Ends with 0 when everything was as it should be, else with 1.

import { parseArguments } from '../../../test/arguments.mjs';
import { leaving } from './leaving.mjs';
import { loggingIn } from './logging-in.mjs';
import { pages } from './pages.mjs';
import { readPlatform } from './platform.mjs';
import { firstLine, Report } from './report.mjs';
import { roles } from './roles.mjs';
import { software } from './software.mjs';
import { steering } from './steering.mjs';

const JOURNEYS = { steering, 'logging-in': loggingIn, roles, leaving, software, pages };

const options = parseArguments(process.argv.slice(2), {
  'lab-json': 'text',
  screenshots: 'text',
  only: 'text',
  everything: 'flag',
});
if (options['lab-json'] === undefined) throw new Error('--lab-json is needed');
if (options.only !== undefined && !(options.only in JOURNEYS)) {
  throw new Error(`no journey ${options.only}; there are ${Object.keys(JOURNEYS).join(', ')}`);
}

const report = new Report();
const platform = readPlatform(options['lab-json']);
for (const [name, journey] of Object.entries(JOURNEYS)) {
  if (options.only !== undefined && options.only !== name) continue;
  try {
    await journey({ platform, report, screenshots: options.screenshots, everything: options.everything });
  } catch (error) {
    // A failed step has been told; the other journeys go on.
    if (!report.failures.some((failure) => failure.endsWith(firstLine(error)))) {
      report.finding(name, String(error?.stack ?? error));
    }
  }
}
process.exit(report.end() ? 0 : 1);
