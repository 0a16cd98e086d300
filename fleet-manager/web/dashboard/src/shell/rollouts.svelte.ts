// Rollouts that stand still until somebody does something, for the number in the navigation.

import { api } from '../api/client';
import type { RolloutView } from '../api/software';
import type { Page } from '../api/types';
import { live } from '../live/live.svelte';
import { Resource } from '../live/fetched.svelte';
import { STANDING_STILL } from '../words/software';

/** More than a number beside a word can say. */
const MOST = 20;

export const rollouts = new Resource<readonly RolloutView[]>(async (signal) => {
  // Only these: counting the boxes of all rollouts again and again would cost the server more than it is worth.
  const pages = await Promise.all(
    STANDING_STILL.map((state) =>
      api.get<Page<RolloutView>>('/rollouts', { query: { state, per_page: MOST }, signal }),
    ),
  );
  return pages.flatMap(({ items }) => items);
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
