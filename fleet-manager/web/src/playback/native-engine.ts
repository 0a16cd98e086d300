// Playback by the browser's own HLS: Safari on devices without Media Source Extensions.

import type { Rung } from '../quality';
import type { DvrWindow } from './dvr';
import type { Engine, EngineEvents } from './engine';

/** Safari's: the wall clock of media time 0, from EXT-X-PROGRAM-DATE-TIME. */
interface WithStartDate {
  getStartDate?: () => Date;
}

/** What browsers do not say; the longest that Nodi's boxes make. */
const SEGMENT_S = 2;

export function nativeIsSupported(video: HTMLVideoElement): boolean {
  return video.canPlayType('application/vnd.apple.mpegurl') !== '';
}

export class NativeEngine implements Engine {
  readonly kind = 'native';
  readonly rungs: readonly Rung[] = [];
  readonly playing = null;
  readonly #video: HTMLVideoElement;
  readonly #listening = new AbortController();

  constructor(video: HTMLVideoElement, url: string, events: EngineEvents) {
    this.#video = video;
    video.addEventListener('error', () => events.failed(`media error ${video.error?.code ?? 0}`), {
      signal: this.#listening.signal,
    });
    video.addEventListener('resize', () => events.rungsChanged(), { signal: this.#listening.signal });
    video.src = url;
  }

  latency(): number | null {
    return this.wallClockLatency();
  }

  holdBack(): number | null {
    // The browser paces itself.
    return null;
  }

  window(): DvrWindow | null {
    const { seekable } = this.#video;
    const last = seekable.length - 1;
    return last < 0 ? null : { start: seekable.start(0), end: seekable.end(last), segment: SEGMENT_S };
  }

  wallClockLatency(): number | null {
    const start = (this.#video as WithStartDate).getStartDate?.().getTime() ?? Number.NaN;
    return Number.isNaN(start) ? null : (Date.now() - start) / 1_000 - this.#video.currentTime;
  }

  bandwidth(): number | null {
    return null;
  }

  choose(): void {
    // The browser decides.
  }

  livePosition(): number | null {
    return this.window()?.end ?? null;
  }

  destroy(): void {
    this.#listening.abort();
    this.#video.removeAttribute('src');
    this.#video.load();
  }
}
