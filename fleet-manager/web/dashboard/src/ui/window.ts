// Which rows of a long table are worth drawing.

export interface Span {
  readonly first: number;
  /** Inclusive; below `first` when there is nothing. */
  readonly last: number;
}

/** Rows drawn beyond either edge, so that a turn of the wheel shows no gap. */
const MARGIN = 12;

/**
 * `top`: where the first row's upper edge is, in pixels below the window's upper edge (negative once scrolled past);
 * `height` of the window.
 */
export function visibleRows(total: number, rowHeight: number, top: number, height: number): Span {
  if (total === 0) return { first: 0, last: -1 };
  const first = Math.floor(-top / rowHeight) - MARGIN;
  const last = Math.ceil((height - top) / rowHeight) + MARGIN;
  return { first: clamp(first, 0, total - 1), last: clamp(last, 0, total - 1) };
}

export function clamp(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most);
}
