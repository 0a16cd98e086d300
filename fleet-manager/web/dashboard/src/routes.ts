// Every page: its address, who may see it, and where it stands in the navigation.

import type { Component } from 'svelte';

import type { Role } from './api/types';
import { match, type Params } from './router/match';
import type { IconName } from './ui/icons';

export type PageProps = { params: Params };

export interface Route {
  readonly pattern: string;
  /** For the window's title until the page says more. */
  readonly title: string;
  /** The least role; `streamer`: everybody who is logged in. */
  readonly role: Exclude<Role, 'member'>;
  readonly load: () => Promise<{ default: Component<PageProps> | Component<Record<string, never>> }>;
}

export interface Entry {
  readonly href: string;
  readonly label: string;
  readonly icon: IconName;
  readonly role: Exclude<Role, 'member'>;
  /** In the bar at the bottom of a phone. */
  readonly thumb?: boolean;
  /** The number beside it. */
  readonly count?: 'alerts' | 'waiting' | 'rollouts';
}

export interface Group {
  readonly label: string | null;
  readonly entries: readonly Entry[];
}

export const routes: readonly Route[] = [
  {
    pattern: '/',
    title: 'Overview',
    role: 'viewer',
    load: () => import('./pages/overview/OverviewPage.svelte'),
  },
  { pattern: '/boxes', title: 'Boxes', role: 'viewer', load: () => import('./pages/boxes/BoxesPage.svelte') },
  {
    pattern: '/streams',
    title: 'Streams',
    role: 'viewer',
    load: () => import('./pages/streams/StreamsPage.svelte'),
  },
  {
    pattern: '/streams/:id',
    title: 'Stream',
    role: 'viewer',
    load: () => import('./pages/streams/StreamPage.svelte'),
  },
  {
    pattern: '/channels',
    title: 'Channels',
    role: 'viewer',
    load: () => import('./pages/channels/ChannelsPage.svelte'),
  },
  {
    pattern: '/channels/:id',
    title: 'Channel',
    role: 'viewer',
    load: () => import('./pages/channels/ChannelPage.svelte'),
  },
  {
    pattern: '/alerts',
    title: 'Alerts',
    role: 'viewer',
    load: () => import('./pages/alerts/AlertsPage.svelte'),
  },
  {
    pattern: '/software',
    title: 'Software',
    role: 'viewer',
    load: () => import('./pages/software/SoftwarePage.svelte'),
  },
  {
    pattern: '/software/rollouts/new',
    title: 'New rollout',
    role: 'operator',
    load: () => import('./pages/software/NewRolloutPage.svelte'),
  },
  {
    pattern: '/software/rollouts/:id',
    title: 'Rollout',
    role: 'viewer',
    load: () => import('./pages/software/RolloutPage.svelte'),
  },
  {
    pattern: '/enrolments',
    title: 'Enrolment',
    role: 'viewer',
    load: () => import('./pages/enrolment/EnrolmentPage.svelte'),
  },
  {
    pattern: '/webhooks',
    title: 'Webhooks',
    role: 'administrator',
    load: () => import('./pages/webhooks/WebhooksPage.svelte'),
  },
  {
    pattern: '/people',
    title: 'People',
    role: 'administrator',
    load: () => import('./pages/people/PeoplePage.svelte'),
  },
  {
    pattern: '/tokens',
    title: 'API tokens',
    role: 'viewer',
    load: () => import('./pages/tokens/TokensPage.svelte'),
  },
  {
    pattern: '/audit',
    title: 'Audit log',
    role: 'administrator',
    load: () => import('./pages/audit/AuditPage.svelte'),
  },
  {
    pattern: '/account',
    title: 'Account',
    role: 'streamer',
    load: () => import('./pages/account/AccountPage.svelte'),
  },
  {
    pattern: '/go-live',
    title: 'Go live',
    role: 'streamer',
    load: () => import('./pages/golive/GoLivePage.svelte'),
  },
  {
    pattern: '/go-live/:id',
    title: 'Go live',
    role: 'streamer',
    load: () => import('./pages/golive/GoLivePage.svelte'),
  },
  { pattern: '/boxes/:id', title: 'Box', role: 'viewer', load: () => import('./pages/box/BoxPage.svelte') },
  {
    pattern: '/settings',
    title: 'Fleet settings',
    role: 'viewer',
    load: () => import('./pages/settings/FleetSettingsPage.svelte'),
  },
];

export const navigation: readonly Group[] = [
  {
    label: null,
    entries: [
      { href: '/', label: 'Overview', icon: 'overview', role: 'viewer', thumb: true },
      { href: '/boxes', label: 'Boxes', icon: 'boxes', role: 'viewer', thumb: true },
      { href: '/streams', label: 'Streams', icon: 'streams', role: 'viewer', thumb: true },
      { href: '/channels', label: 'Channels', icon: 'channels', role: 'viewer' },
      { href: '/alerts', label: 'Alerts', icon: 'alerts', role: 'viewer', thumb: true, count: 'alerts' },
      { href: '/go-live', label: 'Go live', icon: 'golive', role: 'streamer' },
    ],
  },
  {
    label: 'Manage',
    entries: [
      { href: '/enrolments', label: 'Enrolment', icon: 'enrolment', role: 'viewer', count: 'waiting' },
      { href: '/software', label: 'Software', icon: 'software', role: 'viewer', count: 'rollouts' },
      { href: '/settings', label: 'Fleet settings', icon: 'settings', role: 'viewer' },
      { href: '/webhooks', label: 'Webhooks', icon: 'webhooks', role: 'administrator' },
      { href: '/people', label: 'People', icon: 'people', role: 'administrator' },
      { href: '/tokens', label: 'API tokens', icon: 'tokens', role: 'viewer' },
      { href: '/audit', label: 'Audit log', icon: 'audit', role: 'administrator' },
    ],
  },
];

/** A streamer's first page; everybody else starts with the overview. */
export const STREAMERS_HOME = '/go-live';

export function routeOf(path: string): { route: Route; params: Params } | null {
  for (const route of routes) {
    const params = match(route.pattern, path);
    if (params !== null) return { route, params };
  }
  return null;
}
