// A box that has just been switched on: it has made its key and asks to be let in, as `protocol::enrol` says.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Failed } from './report.mjs';

export class NewBox {
  #platform;
  #request;

  constructor(platform, model = 'Journey box') {
    this.#platform = platform;
    const dir = mkdtempSync(join(tmpdir(), 'nodi-box-'));
    try {
      const csr = execFileSync(
        'openssl',
        [
          ...['req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
          ...['-subj', '/CN=box', '-keyout', join(dir, 'key.pem')],
        ],
        { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
      );
      this.#request = { csr_pem: csr, version: '0.1.0', hardware: { model, serial: 'journey-1' } };
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  }

  /** One try: `{state: 'waiting', box_id, code}`, `{state: 'enrolled', box_id, certificate_pem}` or `{state: 'refused', reason}`. */
  async ask(claimCode) {
    const body = claimCode === undefined ? this.#request : { ...this.#request, claim_code: claimCode };
    const answer = await this.#platform.call('POST', '/enrolments', body, {});
    switch (answer.status) {
      case 200:
        return { state: 'enrolled', ...answer.body };
      case 202:
        return { state: 'waiting', ...answer.body };
      case 403:
        return { state: 'refused', reason: answer.body?.detail ?? '' };
      default:
        throw new Failed(`POST /enrolments: ${answer.status} ${JSON.stringify(answer.body)}`);
    }
  }
}
