// The fleet in numbers, for the overview and for the numbers in the navigation.

import { api } from '../api/client';
import type { Overview } from '../api/types';
import { live } from '../live/live.svelte';
import { Resource } from '../live/fetched.svelte';

export const overview = new Resource<Overview>((signal) => api.get<Overview>('/overview', { signal }));

/** Keeps it true until the returned function is called. */
export function followOverview(): () => void {
  void overview.load();
  const soon = () => overview.refresh();
  const offs = [
    live.on('reset', soon),
    live.on('alert', soon),
    live.on('enrolment', soon),
    live.on('session_ended', ({ id }) => {
      overview.change((value) => ({
        ...value,
        live: value.live.filter((other) => other.session !== id),
      }));
      soon();
    }),
    live.on('session', (changed) => {
      const known = overview.value?.live.some((other) => other.session === changed.session) ?? false;
      if (!known) return soon();
      overview.change((value) => ({
        ...value,
        live: value.live.map((other) => (other.session === changed.session ? changed : other)),
      }));
    }),
    live.on('box', (box) => {
      // Most of these are new numbers of a box that is as well as before: no reason to count the fleet again.
      const before = overview.value?.boxes_on_map.find((other) => other.id === box.id);
      const same = before !== undefined && before.state === box.state && before.health === box.health;
      if (!same || before.sessions !== box.sessions) soon();
    }),
    live.on('box_removed', soon),
  ];
  return () => {
    for (const off of offs) off();
    overview.stop();
  };
}
