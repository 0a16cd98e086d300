// What axe finds by machine.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import type { AxeResults } from 'axe-core';
import type { Page } from 'playwright-core';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

/** One line for each flaw; `off`: rules that are wrong about this page. */
export async function flaws(page: Page, off: readonly string[] = []): Promise<string[]> {
  // As the debugger does it: the page's policy allows no script but its own.
  const loaded = await page.evaluate('typeof axe').catch(() => 'undefined');
  if (loaded === 'undefined') await page.evaluate(AXE);
  const rules = Object.fromEntries(off.map((rule) => [rule, { enabled: false }]));
  const results = (await page.evaluate(
    `axe.run(document, ${JSON.stringify({ runOnly: RULES, rules })})`,
  )) as AxeResults;
  return results.violations.flatMap(({ id, nodes }) =>
    nodes.map(
      (node) => `${id}: ${node.html.slice(0, 160)} ${node.any.map(({ message }) => message).join(' ')}`,
    ),
  );
}
