// The channel's window as a bar: how far back a viewer can go, where they are, and what is loaded. Times are the media
// element's, in seconds; the bar's right end is where a viewer who follows the live edge is.

/** What the playlist offers. */
export interface DvrWindow {
  readonly start: number;
  /** The live edge. */
  readonly end: number;
  /** The longest segment: the window's start moves on by this much at a time. */
  readonly segment: number;
}

export interface Range {
  readonly from: number;
  readonly to: number;
}

export interface Timeline {
  /** The bar's right end. */
  readonly live: number;
  /** What the bar spans. */
  readonly length: number;
  /** Of the frame on the screen. 0: at live. May be more than `length` for what is still in the buffer. */
  readonly behind: number;
  /** What is loaded around the frame on the screen, as shares of the bar. */
  readonly loaded: Range;
}

/** A window shorter than this is no use for going back. */
export const SHORTEST_S = 4;
/** What counts as live when somebody goes there: nobody aims better, and playback keeps its own distance then. */
export const NEAR_LIVE_S = 1;

/**
 * The oldest position to go to. A segment away from the window's end, which would be gone before it is loaded.
 */
export function oldest({ start, end, segment }: DvrWindow): number {
  return start + Math.min(segment, (end - start) / 4);
}

/** What comes after the buffer has left the window: playback would stall at the buffer's end. */
export function hasFallenOut(window: DvrWindow, bufferEnd: number): boolean {
  return bufferEnd < window.start;
}

/**
 * The length that the bar shows. The window's own goes up by parts and down by segments; as long as it stays within
 * `slack` above what is shown, the bar stands still.
 */
export function steadyLength(shown: number, actual: number, slack: number): number {
  return Math.min(actual, Math.max(shown, actual - slack));
}

export interface Place {
  readonly window: DvrWindow;
  /** Seconds behind the live edge of a viewer who follows it. */
  readonly distance: number;
  readonly position: number;
  readonly following: boolean;
  readonly bufferStart: number;
  readonly bufferEnd: number;
  /** The length that was shown last; 0 at first. */
  readonly shown: number;
}

export function timelineOf(place: Place): Timeline {
  const { window, distance, position } = place;
  const live = Math.max(window.start, window.end - distance);
  const actual = live - Math.min(live, oldest(window));
  const length = steadyLength(place.shown, actual, 1.25 * window.segment);
  const timeline = { live, length, behind: place.following ? 0 : Math.max(0, live - position) };
  const from = shareAt(timeline, live - place.bufferStart);
  const to = shareAt(timeline, live - place.bufferEnd);
  return { ...timeline, loaded: { from, to: Math.max(from, to) } };
}

type Bar = Pick<Timeline, 'length'>;

/** The place on the bar of what is `behind` seconds behind live: 0 is its left end, 1 live. */
export function shareAt({ length }: Bar, behind: number): number {
  return length <= 0 ? 1 : clamp(1 - behind / length, 0, 1);
}

/** Seconds behind live of a place on the bar. */
export function behindAt({ length }: Bar, share: number): number {
  return (1 - clamp(share, 0, 1)) * length;
}

/** `null`: to live. Otherwise where to seek to for being `behind` seconds behind. */
export function positionFor(window: DvrWindow, live: number, behind: number): number | null {
  if (behind < NEAR_LIVE_S) return null;
  return Math.min(Math.max(live - behind, oldest(window)), live);
}

/** `-1:24`, `-1:02:03`; `Live` where there is nothing to say. */
export function behindLabel(behind: number): string {
  const seconds = Math.round(behind);
  if (seconds < 1) return 'Live';
  const two = (value: number): string => String(value).padStart(2, '0');
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours > 0 ? `-${hours}:${two(minutes)}:${two(seconds % 60)}` : `-${minutes}:${two(seconds % 60)}`;
}

/** The same, as it is spoken. */
export function behindWords(behind: number): string {
  const seconds = Math.round(behind);
  if (seconds < 1) return 'Live';
  const count = (value: number, unit: string): string[] =>
    value === 0 ? [] : [`${value} ${unit}${value === 1 ? '' : 's'}`];
  const words = [
    ...count(Math.floor(seconds / 3600), 'hour'),
    ...count(Math.floor(seconds / 60) % 60, 'minute'),
    ...count(seconds % 60, 'second'),
  ];
  return `${words.join(' ')} behind live`;
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value));
}
