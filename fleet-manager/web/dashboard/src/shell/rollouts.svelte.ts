// Rollouts that stand still until somebody does something, for the number in the navigation.

import { api } from '../api/client';
import type { RolloutView } from '../api/software';
import type { Page } from '../api/types';
import { live } from '../live/live.svelte';
import { Resource } from '../live/fetched.svelte';
import { wantsSomebody } from '../words/software';

/** Those that are open are among the newest. */
const LOOKED_AT = 50;

export const rollouts = new Resource<readonly RolloutView[]>(async (signal) => {
  const page = await api.get<Page<RolloutView>>('/rollouts', { query: { per_page: LOOKED_AT }, signal });
  return page.items.filter(({ state }) => wantsSomebody(state));
});

/** Keeps it true until the returned function is called. */
export function followRollouts(): () => void {
  void rollouts.load();
  const soon = () => rollouts.refresh();
  const offs = [live.on('reset', soon), live.on('rollouts', soon)];
  return () => {
    for (const off of offs) off();
    rollouts.stop();
  };
}
