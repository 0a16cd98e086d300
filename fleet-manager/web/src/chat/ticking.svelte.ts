// This machine's clock: whoever reads `ticking.ms` is drawn anew each second.

import { createSubscriber } from 'svelte/reactivity';

class Ticking {
  private readonly subscribe = createSubscriber((update) => {
    const timer = setInterval(update, 1000);
    return () => clearInterval(timer);
  });

  get ms(): number {
    this.subscribe();
    return Date.now();
  }
}

export const ticking = new Ticking();
