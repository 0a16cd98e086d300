// What the media element has loaded around its playhead.

import type { Range } from './dvr';

/** Ranges that are this close together are one: the browser plays over it. */
const GAP_S = 0.1;

export function bufferedAround(ranges: TimeRanges, position: number): Range {
  for (let i = 0; i < ranges.length; i++) {
    if (ranges.start(i) <= position + GAP_S && position <= ranges.end(i)) {
      return { from: ranges.start(i), to: ranges.end(i) };
    }
  }
  return { from: position, to: position };
}
