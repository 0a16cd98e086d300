import { defineConfig } from 'vitest/config';

export default defineConfig({
  // The origin serves the page at /watch/<channel> and everything that it loads at /assets/.
  base: '/',
  build: {
    target: 'es2022',
    // hls.js is most of the bundle and changes less often than the page: it gets a file of its own,
    // which a returning viewer has in the cache.
    rolldownOptions: {
      output: {
        codeSplitting: { groups: [{ name: 'hls', test: /node_modules[\\/]hls\.js/ }] },
      },
    },
    chunkSizeWarningLimit: 700,
    // A content security policy without `data:` can be put in front of the page.
    assetsInlineLimit: 0,
  },
  server: {
    // `npm run dev` against a running origin: NODI_ORIGIN=http://127.0.0.1:8080 npm run dev
    proxy: process.env['NODI_ORIGIN'] === undefined ? {} : { '/live': process.env['NODI_ORIGIN'] },
  },
  test: {
    projects: [
      { extends: true, test: { name: 'watch', include: ['unit/**/*.test.ts'] } },
      './dashboard/vite.config.ts',
    ],
  },
});
