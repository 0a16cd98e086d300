// The running platform that the walks go through: what `nodi-lab up --json` said of it, and faults on request.

import { readFileSync } from 'node:fs';
import { connect } from 'node:net';

import { Failed } from '../../dashboard/test/journeys/report.mjs';

/** An order is obeyed at once, but for a process that has to drain first. */
const ORDER_MS = 10_000;

/** The last line of `file` that is a JSON object: what the lab prints, whatever else stands there. */
export function readPlatform(file) {
  const lines = readFileSync(file, 'utf8').split('\n');
  const line = lines.findLast((text) => text.trimStart().startsWith('{'));
  if (line === undefined) throw new Failed(`${file} has no line with a JSON object`);
  const lab = JSON.parse(line);
  for (const key of ['site_url', 'chat_ws_url', 'channel', 'logins', 'control']) {
    if (lab[key] === undefined) throw new Failed(`${file}: ${key} is missing`);
  }
  return new Platform(lab);
}

class Platform {
  constructor({ site_url, channel, logins, control }) {
    this.site = site_url.replace(/\/$/, '');
    this.channel = channel;
    this.logins = logins;
    this.control = control;
  }

  /** `kill`, `stop`, `restart`, `freeze` or `thaw`, and a process by its name. */
  async order(fault, process) {
    const answer = await new Promise((resolve, reject) => {
      const socket = connect(this.control, () => socket.write(`${fault} ${process}\n`));
      let said = '';
      socket.setEncoding('utf8');
      socket.setTimeout(ORDER_MS, () => socket.destroy(new Error('no answer')));
      socket.on('data', (text) => (said += text));
      socket.on('end', () => resolve(said.trim()));
      socket.on('error', reject);
    });
    if (answer !== 'ok') throw new Failed(`${fault} ${process}: ${answer || 'no answer'}`);
  }
}
