// Child processes that are gone when the bench is over, however it ends.

import { spawn } from 'node:child_process';
import { createWriteStream, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const running = new Set();
const START_MS = 15_000;
const STOP_MS = 8_000;
const POLL_MS = 25;

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A directory of this bench's own; removed at the end. */
export const scratch = mkdtempSync(join(tmpdir(), 'nodi-bench-'));

export class Child {
  #process;
  #lines = [];
  #waiting = [];
  /** Resolves to the exit code, or the name of the signal. */
  exited;

  /**
   * @param {string} name for messages and the log file
   * @param {{ cwd?: string, stdin?: boolean, env?: Record<string, string>, mayExit?: boolean }} options
   */
  constructor(name, program, args, options = {}) {
    this.name = name;
    this.log = join(scratch, `${name}-${Date.now()}.log`);
    const log = createWriteStream(this.log);
    this.#process = spawn(program, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: [options.stdin ? 'pipe' : 'ignore', 'pipe', 'pipe'],
    });
    running.add(this);
    this.#process.stderr.pipe(log);
    createInterface({ input: this.#process.stdout }).on('line', (line) => {
      const waiting = this.#waiting.shift();
      if (waiting === undefined) this.#lines.push(line);
      else waiting(line);
    });
    this.exited = new Promise((resolve, reject) => {
      this.#process.on('error', reject);
      this.#process.on('exit', (code, signal) => {
        running.delete(this);
        resolve(code ?? signal);
      });
    });
    this.exited.catch(() => {});
  }

  get pid() {
    return this.#process.pid;
  }

  get hasExited() {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }

  /** The next line of its stdout. */
  async line(ms = START_MS) {
    const ready = this.#lines.shift();
    if (ready !== undefined) return ready;
    return new Promise((resolve, reject) => {
      const fail = (why) => reject(new Error(`${this.name}: ${why}; its log: ${this.tail()}`));
      const timer = setTimeout(() => fail('said nothing'), ms);
      this.#waiting.push((line) => {
        clearTimeout(timer);
        resolve(line);
      });
      void this.exited.then((code) => {
        clearTimeout(timer);
        fail(`ended (${code})`);
      });
    });
  }

  /** Writes a line and returns the answer. */
  async ask(line = '', ms = START_MS) {
    this.#process.stdin.write(`${line}\n`);
    return this.line(ms);
  }

  tail() {
    return existsSync(this.log) ? readFileSync(this.log, 'utf8').slice(-2_000) : '';
  }

  async stop(signal = 'SIGTERM') {
    if (this.hasExited) return;
    this.#process.stdin?.end();
    this.#process.kill(signal);
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), STOP_MS);
    await this.exited;
    clearTimeout(timer);
  }

  kill() {
    this.#process.kill('SIGKILL');
  }
}

export async function stopAll() {
  await Promise.all([...running].map((child) => child.stop()));
  rmSync(scratch, { recursive: true, force: true, maxRetries: 3 });
}

process.on('exit', () => {
  for (const child of running) child.kill();
  rmSync(scratch, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    console.error(`stopped by ${signal}`);
    process.exit(130);
  });
}

/** Runs a program to its end; its stdout as text. */
export async function output(program, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      ...options,
    });
    const out = [];
    const err = [];
    child.stdout.on('data', (data) => out.push(data));
    child.stderr.on('data', (data) => err.push(data));
    child.on('error', reject);
    child.on('close', (code) => {
      const text = Buffer.concat(out).toString();
      if (code === 0) resolve(text);
      else
        reject(
          new Error(
            `${program} ${args.slice(0, 4).join(' ')} … ended with ${code}: ${Buffer.concat(err).toString().slice(-2_000)}${text.slice(-500)}`,
          ),
        );
    });
  });
}

/** Ports that were free a moment ago. */
export async function freePorts(count) {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise((resolve) => {
          const server = createServer().listen(0, '127.0.0.1', () => resolve(server));
        }),
    ),
  );
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** Waits until something listens on a port. */
export async function listening(port, child) {
  await until(`${child.name} on port ${port}`, START_MS, async () => {
    if (child.hasExited) throw new Error(`${child.name} ended: ${child.tail()}`);
    return new Promise((resolve) => {
      const socket = connect(port, '127.0.0.1', () => {
        socket.destroy();
        resolve(true);
      }).on('error', () => resolve(false));
    });
  });
}

export async function until(what, ms, condition) {
  const deadline = Date.now() + ms;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`${what}: not within ${ms / 1_000} s`);
    await sleep(POLL_MS);
  }
}
