// What is fetched from the server stays true: it is fetched anew when the live connection missed something, and changed
// in between by what comes over it.

import { session } from '../session/session.svelte';
import { Resource } from './fetched.svelte';
import { live } from './live.svelte';

/**
 * A resource of the component that calls this while it is set up: it loads at once, again after a login and when live
 * changes were missed, and stops with the component. What `fetcher` reads reactively before its first `await` loads it again.
 */
export function resource<T>(fetcher: (signal: AbortSignal) => Promise<T>): Resource<T> {
  const made = new Resource(fetcher);
  $effect(() => {
    if (session.generation === 0) return;
    void made.load();
    const off = live.on('reset', () => made.refresh());
    return () => {
      off();
      made.stop();
    };
  });
  return made;
}

/** Listens for as long as the component that calls this is on the page. */
export function listen<T extends Parameters<typeof live.on>[0]>(
  type: T,
  handler: Parameters<typeof live.on<T>>[1],
): void {
  $effect(() => live.on(type, handler));
}
