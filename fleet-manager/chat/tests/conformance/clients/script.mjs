// Plays the conformance cases over whatever WebSocket client an adapter brings, and prints one line of JSON for each.
// What the steps mean is told in ../cases/README.md; script.py is the same for Python.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual, parseArgs } from 'node:util';

/** Nothing takes longer on a machine that is busy with other tests. */
const DEADLINE_MS = 20_000;
const ULID = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;

/** What comes in on a connection, in order. */
export class Inbox {
  #items = [];
  #waiting = null;
  /** Resolves to the close code. */
  closed = new Promise((resolve) => (this.close = resolve));

  push(text) {
    this.#items.push(text);
    this.#waiting?.();
  }

  /** The next frame, or undefined after `ms`, or when the connection is closed. */
  async next(ms) {
    if (this.#items.length === 0) {
      let timer;
      await Promise.race([
        new Promise((resolve) => (this.#waiting = resolve)),
        this.closed,
        new Promise((resolve) => (timer = setTimeout(resolve, ms))),
      ]);
      clearTimeout(timer);
      this.#waiting = null;
    }
    return this.#items.shift();
  }
}

/** Replaces what stands for something that only this run knows. */
function fill(value, names, number) {
  if (typeof value === 'string') {
    const [, kind, name] = /^\$(channel|token|saved)(?::(.+))?$/.exec(value) ?? [];
    if (kind === 'channel') return names.channel;
    if (kind !== undefined) {
      const found = (kind === 'token' ? names.tokens : names.saved)[name];
      if (found === undefined) throw new Error(`nothing is known as ${value}`);
      return found;
    }
    return number === undefined ? value : value.replaceAll('#', number);
  }
  if (Array.isArray(value)) return value.map((item) => fill(item, names, number));
  if (value !== null && typeof value === 'object')
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, fill(item, names, number)]));
  return value;
}

/** Says what is different, or nothing. Objects may have more than is expected, lists may not. */
function difference(expected, found, path = '') {
  if (expected === '$any') return found === undefined ? `${path} is missing` : null;
  if (expected === '$absent') return found === undefined ? null : `${path} is there`;
  if (expected === '$id') return ULID.test(found) ? null : `${path} is no id: ${found}`;
  if (expected === '$text') return typeof found === 'string' && found !== '' ? null : `${path} is no text`;
  if (expected === '$number') return typeof found === 'number' ? null : `${path} is no number`;
  if (expected !== null && typeof expected === 'object') {
    if (found === null || typeof found !== 'object') return `${path} is ${JSON.stringify(found)}`;
    if (Array.isArray(expected) && expected.length !== found.length)
      return `${path} has ${found.length} entries, not ${expected.length}`;
    for (const [key, value] of Object.entries(expected)) {
      const problem = difference(value, found[key], `${path}/${key}`);
      if (problem !== null) return problem;
    }
    return null;
  }
  return isDeepStrictEqual(expected, found)
    ? null
    : `${path} is ${JSON.stringify(found)}, not ${JSON.stringify(expected)}`;
}

function at(value, path) {
  return path.split('/').reduce((inner, key) => inner?.[key], value);
}

async function frame(connection, ms = DEADLINE_MS) {
  for (;;) {
    const text = await connection.inbox.next(ms);
    if (text === undefined) return undefined;
    const value = JSON.parse(text);
    // Counts come when they come.
    if (value.t !== 'counts') return value;
  }
}

const steps = {
  async open({ open, refused, ...how }, state) {
    const connection = await state.adapter.open(how);
    if (refused === undefined) {
      if (connection.status !== 101) throw new Error(`not let in: ${connection.status}`);
      state.connections[open] = connection;
    } else if (connection.status === 101) throw new Error('let in');
    // A browser does not tell its page why.
    else if (connection.status !== null && connection.status !== refused)
      throw new Error(`refused with ${connection.status}`);
  },
  async send({ send, frame: value, text, times = 1, base64, kind, pieces, ping, series, ...options }, state) {
    const connection = state.connections[send];
    if (pieces !== undefined) await connection.sendPieces(pieces);
    else if (ping !== undefined) await connection.ping(ping);
    else if (base64 !== undefined) await connection.sendBytes(Buffer.from(base64, 'base64'), kind);
    else if (text !== undefined) await connection.send(text.repeat(times), options);
    else
      for (let number = 1; number <= (series ?? 1); number++)
        await connection.send(JSON.stringify(fill(value, state.names, series && number)), options);
  },
  async expect({ expect, frame: one, any_order, series, save, eventually }, state) {
    const connection = state.connections[expect];
    if (any_order !== undefined) {
      const left = [...any_order];
      while (left.length > 0) {
        const found = await frame(connection);
        const index = left.findIndex((value) => difference(fill(value, state.names), found) === null);
        if (index < 0) throw new Error(`${expect} got ${JSON.stringify(found)}`);
        left.splice(index, 1);
      }
      return;
    }
    for (let number = 1; number <= (series ?? 1); number++) {
      let found = await frame(connection);
      while (eventually && found !== undefined && difference(fill(one, state.names), found) !== null)
        found = await frame(connection);
      if (found === undefined) throw new Error(`${expect} got nothing`);
      const problem = difference(fill(one, state.names, series && number), found);
      if (problem !== null) throw new Error(`${expect}: ${problem} in ${JSON.stringify(found)}`);
      for (const [name, path] of Object.entries(save ?? {})) state.names.saved[name] = at(found, path);
    }
  },
  async quiet({ quiet, ms }, state) {
    const found = await frame(state.connections[quiet], ms);
    if (found !== undefined) throw new Error(`${quiet} got ${JSON.stringify(found)}`);
  },
  async closed({ closed, code }, state) {
    let timer;
    const found = await Promise.race([
      state.connections[closed].inbox.closed,
      new Promise((resolve) => (timer = setTimeout(resolve, DEADLINE_MS, 'not at all'))),
    ]);
    clearTimeout(timer);
    if (found !== code) throw new Error(`${closed} was closed with ${found}, not ${code}`);
  },
  async close({ close }, state) {
    await state.connections[close].close();
  },
};

async function play(test, adapter, names) {
  const state = { adapter, names: { ...names, saved: {} }, connections: {} };
  try {
    for (const [index, step] of test.steps.entries()) {
      const name = Object.keys(steps).find((known) => known in step);
      try {
        await steps[name](step, state);
      } catch (error) {
        throw new Error(`step ${index + 1}, ${JSON.stringify(step)}: ${error.message}`, { cause: error });
      }
    }
  } finally {
    for (const connection of Object.values(state.connections)) void connection.close();
  }
}

/** `adapters`: makes the adapter from the options of the command line. */
export async function main(makeAdapter) {
  const { values } = parseArgs({
    options: {
      url: { type: 'string' },
      cases: { type: 'string' },
      accounts: { type: 'string' },
      'page-port': { type: 'string' },
    },
  });
  const accounts = JSON.parse(readFileSync(values.accounts, 'utf8'));
  const adapter = await makeAdapter({ url: values.url, pagePort: Number(values['page-port']) });
  const files = readdirSync(values.cases).filter((file) => file.endsWith('.json'));
  for (const file of files.sort()) {
    for (const test of JSON.parse(readFileSync(join(values.cases, file), 'utf8'))) {
      const lacks = (test.needs ?? []).filter((need) => !adapter.can.includes(need));
      const line = { case: test.name };
      if (lacks.length > 0) line.skipped = `${adapter.name} cannot: ${lacks.join(', ')}`;
      else
        await play(test, adapter, accounts[test.name]).then(
          () => (line.ok = true),
          (error) => (line.error = error.message),
        );
      process.stdout.write(`${JSON.stringify(line)}\n`);
    }
  }
  await adapter.end();
}
