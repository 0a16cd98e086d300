// Tables for people, JSON for programs.

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';

const RESULTS = 'target/bench';

export function machine() {
  const system = /PRETTY_NAME="(.*)"/.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'Linux';
  const all = cpus();
  return `${all.length} × ${all[0]?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, ${system}, Linux ${release()}`;
}

function commit() {
  try {
    const head = execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
      encoding: 'utf8',
    }).trim();
    const dirty =
      execFileSync('git', ['status', '--porcelain', '--untracked-files=no'], {
        encoding: 'utf8',
      }) !== '';
    return dirty ? `${head} with changes` : head;
  } catch {
    return 'unknown';
  }
}

/** Columns as wide as their widest cell; numbers to the right. */
export function table(head, rows) {
  const cells = [head, ...rows].map((row) => row.map(String));
  const widths = head.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const line = (row) =>
    row
      .map((cell, column) =>
        /^[\d.<>≤–-]/.test(cell) ? cell.padStart(widths[column]) : cell.padEnd(widths[column]),
      )
      .join('  ')
      .trimEnd();
  return [
    line(cells[0]),
    widths.map((width) => '-'.repeat(width)).join('  '),
    ...cells.slice(1).map(line),
  ].join('\n');
}

/**
 * @param {string} name
 * @param {{ title: string, how: string, head: string[], rows: (string | number)[][], goals: { goal: string, value: string, met: boolean }[], data: object }} result
 */
export function publish(name, result, quick) {
  const lines = [
    `\n${result.title}`,
    result.how,
    '',
    table(result.head, result.rows),
    '',
    ...result.goals.map(({ goal, value, met }) => `${met ? 'reached' : 'MISSED '}  ${goal}: ${value}`),
  ];
  console.log(lines.join('\n'));
  mkdirSync(RESULTS, { recursive: true });
  const { data, goals, title, how } = result;
  const file = join(RESULTS, `${name}.json`);
  writeFileSync(
    file,
    `${JSON.stringify({ bench: name, title, how, machine: machine(), commit: commit(), at: new Date().toISOString(), quick, goals, ...data }, null, 2)}\n`,
  );
}

export function digits(value, count) {
  return Number.isFinite(value) ? value.toFixed(count) : '–';
}
