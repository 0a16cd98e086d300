// Fingers on the picture: one tap shows or hides the controls, two in the same place go back or forward.

export type Side = 'left' | 'middle' | 'right';

/** Two taps that are further apart in time or place are two taps. */
const TOGETHER_MS = 300;
const TOGETHER_PX = 60;

interface Tap {
  readonly x: number;
  readonly y: number;
  readonly atMs: number;
}

/** The thirds of the picture. */
export function sideOf(x: number, width: number): Side {
  if (x < width / 3) return 'left';
  return x > (2 * width) / 3 ? 'right' : 'middle';
}

/** Tells one tap from two; further taps in the same place each count as the second. */
export class Taps {
  #last: Tap | null = null;

  isSecond(tap: Tap): boolean {
    const last = this.#last;
    this.#last = tap;
    return (
      last !== null &&
      tap.atMs - last.atMs < TOGETHER_MS &&
      Math.hypot(tap.x - last.x, tap.y - last.y) < TOGETHER_PX
    );
  }
}

export interface TapActions {
  once(): void;
  twice(side: Side): void;
}

export function listenForTaps(surface: HTMLElement, actions: TapActions, signal: AbortSignal): void {
  const taps = new Taps();
  let waiting: ReturnType<typeof setTimeout> | undefined;
  surface.addEventListener(
    'pointerup',
    (event) => {
      if (event.pointerType !== 'touch') return;
      clearTimeout(waiting);
      const { left, width } = surface.getBoundingClientRect();
      if (taps.isSecond({ x: event.clientX, y: event.clientY, atMs: event.timeStamp })) {
        actions.twice(sideOf(event.clientX - left, width));
      } else {
        waiting = setTimeout(() => actions.once(), TOGETHER_MS);
      }
    },
    { signal },
  );
  signal.addEventListener('abort', () => clearTimeout(waiting));
}
