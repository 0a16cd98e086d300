// Whether the window is a phone's: the same width as in the style sheets.

import { MediaQuery } from 'svelte/reactivity';

const query = new MediaQuery('max-width: 760px');

export const narrow = {
  get is(): boolean {
    return query.current;
  },
};
