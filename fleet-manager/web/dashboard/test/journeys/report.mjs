// Steps and checks of the journeys: one readable line each, and what failed at the end.

/** A step that takes longer than this is stuck. */
const STEP_MS = 60_000;

export class Failed extends Error {}

/** @param {unknown} condition @param {string} otherwise */
export function expect(condition, otherwise) {
  if (!condition) throw new Failed(otherwise);
}

/** Waits until `look` gives something truthy, and returns it. */
export async function until(what, look, ms = 30_000) {
  const deadline = Date.now() + ms;
  let last;
  for (;;) {
    try {
      const found = await look();
      if (found) return found;
      last = undefined;
    } catch (error) {
      if (error instanceof Failed) throw error;
      last = error;
    }
    if (Date.now() > deadline) {
      const reason = last === undefined ? '' : `: ${firstLine(last)}`;
      throw new Failed(`${what}: not within ${ms / 1_000} s${reason}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

export function firstLine(error) {
  return String(error?.message ?? error)
    .split('\n')[0]
    .trim();
}

export class Report {
  failures = [];
  #steps = 0;

  journey(name) {
    process.stdout.write(`\n${name}\n`);
  }

  /** A step whose failure ends its journey. */
  async step(name, work, ms = STEP_MS) {
    const started = Date.now();
    const took = () => `${((Date.now() - started) / 1_000).toFixed(1)} s`;
    let timer;
    const stuck = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Failed(`still not done after ${ms / 1_000} s`)), ms);
    });
    try {
      const value = await Promise.race([work(), stuck]);
      this.#steps += 1;
      process.stdout.write(`  ok    ${name} (${took()})\n`);
      return value;
    } catch (error) {
      process.stdout.write(
        `  FAIL  ${name} (${took()})\n        ${String(error?.message ?? error).replaceAll('\n', '\n        ')}\n`,
      );
      this.failures.push(`${name}: ${firstLine(error)}`);
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Something worth knowing about the step that runs. */
  note(what) {
    process.stdout.write(`        ${what}\n`);
  }

  /** A finding that does not stop what comes after it. */
  finding(where, what) {
    process.stdout.write(`  FAIL  ${where}: ${what}\n`);
    this.failures.push(`${where}: ${what}`);
  }

  end() {
    process.stdout.write(
      this.failures.length === 0
        ? `\n${this.#steps} steps, all well\n`
        : `\n${this.#steps} steps, ${this.failures.length} failures:\n${this.failures.map((line) => `  ${line}`).join('\n')}\n`,
    );
    return this.failures.length === 0;
  }
}
