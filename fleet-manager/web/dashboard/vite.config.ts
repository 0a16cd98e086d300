import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

const server = process.env['NODI_FLEET'];

export default defineConfig({
  root: import.meta.dirname,
  // The fleet server serves the page for every path that is not its API, and what it loads at /assets/.
  base: '/',
  plugins: [svelte()],
  build: {
    outDir: '../dist-fleet',
    emptyOutDir: true,
    target: 'es2022',
    // The themes rest on light-dark(), which these have.
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
    // The server's content security policy has no `data:` but for images.
    assetsInlineLimit: 0,
  },
  server: {
    // `npm run dev:fleet` against a running server: NODI_FLEET=http://127.0.0.1:8090 npm run dev:fleet
    proxy: server === undefined ? {} : { '/api': { target: server, secure: false } },
  },
  // What is tested without a browser is the code that runs in one, not what would run on a server.
  resolve: process.env['VITEST'] === undefined ? {} : { conditions: ['browser'] },
  test: {
    name: 'dashboard',
    include: ['unit/**/*.test.ts', 'test/pages/**/*.test.ts'],
    globalSetup: './test/pages/build.ts',
    // A browser starts for each file.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
