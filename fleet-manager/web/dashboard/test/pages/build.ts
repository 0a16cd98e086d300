// Builds the dashboard once for all tests that open it, into a directory of its own.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { build } from 'vite';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  export interface ProvidedContext {
    pages: string;
  }
}

export default async function setup(project: TestProject): Promise<() => void> {
  const pages = mkdtempSync(join(tmpdir(), 'nodi-dashboard-'));
  await build({
    configFile: join(import.meta.dirname, '../../vite.config.ts'),
    mode: 'production',
    logLevel: 'error',
    // Not the browser condition that the unit tests ask for: the build has its own.
    resolve: {},
    build: { outDir: pages, emptyOutDir: false, reportCompressedSize: false },
  });
  project.provide('pages', pages);
  return () => rmSync(pages, { recursive: true, force: true });
}
