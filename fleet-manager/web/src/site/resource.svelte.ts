// What a page fetches when it opens, and again for whoever signs in.

import { Resource } from '../../dashboard/src/live/fetched.svelte';
import { session } from './session.svelte';

/**
 * A resource of the component that calls this while it is set up: it loads at once, again when somebody else is signed
 * in, and stops with the component. What `fetcher` reads reactively before its first `await` loads it again.
 * `mine`: it is there only for whoever is signed in.
 */
export function resource<T>(
  fetcher: (signal: AbortSignal) => Promise<T>,
  { mine = false }: { mine?: boolean } = {},
): Resource<T> {
  const made = new Resource(fetcher);
  $effect(() => {
    void session.generation;
    if (mine && session.state !== 'in') {
      made.value = null;
      return undefined;
    }
    void made.load();
    return () => made.stop();
  });
  return made;
}
