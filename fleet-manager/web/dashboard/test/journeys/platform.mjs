// The running platform that the journeys walk through: what `nodi-lab up --json` said of it, and its API for
// preparing what a person would find there.

import { readFileSync } from 'node:fs';

import { Failed } from './report.mjs';

/** The last line of `file` that is a JSON object: what the lab prints, whatever else stands there. */
export function readPlatform(file) {
  const lines = readFileSync(file, 'utf8').split('\n');
  const line = lines.findLast((text) => text.trimStart().startsWith('{'));
  if (line === undefined) throw new Failed(`${file} has no line with a JSON object`);
  const lab = JSON.parse(line);
  for (const key of ['fleet_url', 'api_token']) {
    if (typeof lab[key] !== 'string') throw new Failed(`${file}: ${key} is missing`);
  }
  const login = lab.login ?? lab.administrator ?? lab.admin;
  if (typeof login?.name !== 'string' || typeof login?.password !== 'string') {
    throw new Failed(`${file}: the administrator's login is missing`);
  }
  return new Platform({
    fleet: lab.fleet_url.replace(/\/$/, ''),
    dashboard: (lab.dashboard_url ?? lab.fleet_url).replace(/\/$/, ''),
    token: lab.api_token,
    login: { name: login.name, password: login.password },
  });
}

class Platform {
  constructor({ fleet, dashboard, token, login }) {
    this.fleet = fleet;
    this.dashboard = dashboard;
    this.token = token;
    this.login = login;
  }

  /** With the lab's token unless `headers` say otherwise. Returns `{status, body}`; throws only when nobody answers. */
  async call(method, path, body, headers = { authorization: `Bearer ${this.token}` }) {
    const answer = await fetch(`${this.fleet}${path.startsWith('/api') ? path : `/api/v1${path}`}`, {
      method,
      headers: { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(15_000),
    });
    const text = await answer.text();
    let parsed = text;
    try {
      parsed = text === '' ? null : JSON.parse(text);
    } catch {
      // Not JSON: the text says what it was.
    }
    return { status: answer.status, body: parsed };
  }

  /** As `call`, for what has to work. */
  async make(method, path, body) {
    const answer = await this.call(method, path, body);
    if (answer.status >= 300) {
      throw new Failed(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    }
    return answer.body;
  }
}
