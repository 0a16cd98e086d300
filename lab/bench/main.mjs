// Runs the benches that were named, one after the other. See `run`.

import { existsSync } from 'node:fs';

import { stopAll } from './processes.mjs';
import { machine, publish } from './report.mjs';

const BENCHES = ['latency', 'ingest', 'transcode', 'origin', 'fleet', 'chat'];

const names = [];
let binaries = 'target/release';
let quick = false;
const words = process.argv.slice(2);
while (words.length > 0) {
  const word = words.shift();
  if (word === '--quick') quick = true;
  else if (word === '--binaries') binaries = words.shift() ?? binaries;
  else if (BENCHES.includes(word)) names.push(word);
  else throw new Error(`${word} is no bench: ${BENCHES.join(', ')}, or --quick`);
}
if (!existsSync(`${binaries}/nodi-lab`))
  throw new Error(`nothing is built in ${binaries}: use lab/bench/run`);

console.log(`Machine: ${machine()}${quick ? '; quick: for trying, not for quoting' : ''}`);
let failed = false;
for (const name of names.length > 0 ? names : BENCHES) {
  try {
    const { run } = await import(`./${name}.mjs`);
    publish(name, await run({ binaries, quick }), quick);
  } catch (error) {
    failed = true;
    console.error(`\n${name}: ${error.stack}`);
  }
}
await stopAll();
// A missed goal is a result, not an error.
process.exit(failed ? 1 : 0);
