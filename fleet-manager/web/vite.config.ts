import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

const origin = process.env['NODI_ORIGIN'];
const server = process.env['NODI_FLEET'];
const chat = process.env['NODI_CHAT'];
const edge = process.env['NODI_EDGE'];

/** `npm run dev` beside running processes: an edge alone, or each of them. */
function proxies() {
  if (edge !== undefined) {
    return { '/live': edge, '/site': edge, '/chat': { target: edge, ws: true } };
  }
  return {
    ...(origin === undefined ? {} : { '/live': origin }),
    ...(server === undefined ? {} : { '/site': { target: server, secure: false } }),
    ...(chat === undefined
      ? {}
      : {
          '/chat': { target: chat, ws: true, rewrite: (path: string) => path.replace(/^\/chat/, '') },
        }),
  };
}

export default defineConfig({
  // The origin serves the site's page for every path that is one of its pages, and what it loads at /assets/.
  base: '/',
  plugins: [svelte()],
  build: {
    target: 'es2022',
    // The themes rest on light-dark(), which these have.
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
    // hls.js is most of what the channel page loads and changes less often than the site: it gets a file of its own,
    // which a returning viewer has in the cache.
    rolldownOptions: {
      output: {
        codeSplitting: { groups: [{ name: 'hls', test: /node_modules[\\/]hls\.js/ }] },
      },
    },
    chunkSizeWarningLimit: 700,
    // The origin's content security policy has no `data:` but for images.
    assetsInlineLimit: 0,
  },
  server: { proxy: proxies() },
  // What is tested without a browser is the code that runs in one, not what would run on a server.
  resolve: process.env['VITEST'] === undefined ? {} : { conditions: ['browser'] },
  test: {
    projects: [
      {
        extends: true,
        test: {
          name: 'site',
          include: ['unit/**/*.test.ts', 'test/pages/**/*.test.ts'],
          globalSetup: './test/pages/build.ts',
          // A browser starts for each file.
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      './dashboard/vite.config.ts',
    ],
  },
});
