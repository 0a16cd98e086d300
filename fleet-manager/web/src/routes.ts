// All pages of the site. Each is loaded when it is opened, with what it alone needs: hls.js comes with the channel page.

import type { Component } from 'svelte';

import { match, type Params } from '../dashboard/src/router/match';

export type PageProps = { params: Params };

export interface Route {
  readonly pattern: string;
  /** Of the window, until the page knows better. */
  readonly title: string;
  /** The page fills the window beneath the header, and scrolls within itself. */
  readonly fills?: boolean;
  readonly load: () => Promise<{ default: Component<PageProps> | Component<Record<string, never>> }>;
}

export const ROUTES: readonly Route[] = [
  { pattern: '/', title: 'Live now', load: () => import('./pages/DirectoryPage.svelte') },
  {
    pattern: '/watch/:channel',
    title: 'Watch',
    fills: true,
    load: () => import('./channel/ChannelPage.svelte'),
  },
  {
    pattern: '/following',
    title: 'Following',
    load: () => import('./pages/FollowingPage.svelte'),
  },
  {
    pattern: '/account',
    title: 'Account',
    load: () => import('./pages/account/AccountPage.svelte'),
  },
  { pattern: '/studio', title: 'Studio', load: () => import('./pages/studio/StudioPage.svelte') },
  {
    pattern: '/studio/:channel',
    title: 'Studio',
    load: () => import('./pages/studio/ChannelStudio.svelte'),
  },
];

export interface Found {
  readonly route: Route;
  readonly params: Params;
}

export function routeOf(path: string, routes: readonly Route[] = ROUTES): Found | null {
  for (const route of routes) {
    const params = match(route.pattern, path);
    if (params !== null) return { route, params };
  }
  return null;
}
