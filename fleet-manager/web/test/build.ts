// Builds pages once for all tests that open them, into a directory of their own.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { build } from 'vite';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Where the built dashboard lies. */
    pages: string;
    /** Where the built watch site lies. */
    site: string;
  }
}

/** The global set-up of a project whose tests open what `configFile` builds; they find it under `name`. */
export function built(configFile: string, name: 'pages' | 'site') {
  return async (project: TestProject): Promise<() => void> => {
    const pages = mkdtempSync(join(tmpdir(), `nodi-${name}-`));
    await build({
      configFile,
      mode: 'production',
      logLevel: 'error',
      // Not the browser condition that the unit tests ask for: the build has its own.
      resolve: {},
      build: { outDir: pages, emptyOutDir: false, reportCompressedSize: false },
    });
    project.provide(name, pages);
    return () => rmSync(pages, { recursive: true, force: true });
  };
}
