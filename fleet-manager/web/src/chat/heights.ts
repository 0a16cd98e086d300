// Which rows of a long list are drawn. Rows have heights of their own, known only once they were drawn; the others are
// taken to be as high as the mean of those.

export interface Keyed {
  readonly key: string;
}

/** What is drawn, and the room that stands for what is not. */
export interface Slice {
  readonly first: number;
  /** One past the last. */
  readonly end: number;
  readonly before: number;
  readonly after: number;
}

/** Before anything was drawn: a line and its padding. */
const FIRST_GUESS = 28;

export class Heights {
  readonly #known = new Map<string, number>();
  #sum = 0;

  of(key: string): number {
    return this.#known.get(key) ?? this.#mean();
  }

  set(key: string, height: number): void {
    this.#sum += height - (this.#known.get(key) ?? 0);
    this.#known.set(key, height);
  }

  get size(): number {
    return this.#known.size;
  }

  /** The list became wider or narrower: nothing holds but the guess. */
  reset(): void {
    const mean = this.#mean();
    this.#known.clear();
    this.#known.set('', mean);
    this.#sum = mean;
  }

  /** Forgets rows that are not in the list any more, once these are the most. */
  prune(rows: readonly Keyed[]): void {
    if (this.#known.size <= 2 * rows.length + 100) return;
    const kept = rows.flatMap(({ key }): [string, number][] => {
      const height = this.#known.get(key);
      return height === undefined ? [] : [[key, height]];
    });
    this.reset();
    for (const [key, height] of kept) this.set(key, height);
  }

  total(rows: readonly Keyed[], from: number, to: number): number {
    let sum = 0;
    for (let i = from; i < to; i += 1) {
      const row = rows[i];
      if (row !== undefined) sum += this.of(row.key);
    }
    return sum;
  }

  /** The slice around what is seen: `seen` pixels from `top`, and `margin` more on both sides. */
  around(rows: readonly Keyed[], top: number, seen: number, margin: number): Slice {
    let first = 0;
    let before = 0;
    for (let row = rows[first]; row !== undefined; row = rows[first]) {
      const height = this.of(row.key);
      if (before + height > top - margin) break;
      before += height;
      first += 1;
    }
    let end = first;
    let bottom = before;
    for (let row = rows[end]; row !== undefined && bottom < top + seen + margin; row = rows[end]) {
      bottom += this.of(row.key);
      end += 1;
    }
    return { first, end, before, after: this.total(rows, end, rows.length) };
  }

  /** The slice at the end: at least `seen` pixels and `margin` more. */
  atEnd(rows: readonly Keyed[], seen: number, margin: number): Slice {
    let first = rows.length;
    let height = 0;
    while (first > 0 && height < seen + margin) {
      first -= 1;
      height += this.of(rows[first]?.key ?? '');
    }
    return { first, end: rows.length, before: this.total(rows, 0, first), after: 0 };
  }

  /** The row at `top` pixels, and how far above `top` it begins. */
  at(rows: readonly Keyed[], top: number): { readonly index: number; readonly above: number } {
    let index = 0;
    let y = 0;
    for (let row = rows[index]; row !== undefined; row = rows[index]) {
      const height = this.of(row.key);
      if (y + height > top || index === rows.length - 1) break;
      y += height;
      index += 1;
    }
    return { index, above: top - y };
  }

  #mean(): number {
    return this.#known.size === 0 ? FIRST_GUESS : this.#sum / this.#known.size;
  }
}
