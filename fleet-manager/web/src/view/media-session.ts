// What the system shows of the player, on the lock screen and for the keys of keyboards and headsets.

import type { Player } from '../player';

/** What a press of a system's button for going back or forward does when the system does not say. */
const STEP_S = 10;

export interface Subject {
  readonly title: string;
  readonly artist: string;
  readonly artwork: string | null;
}

const ACTIONS = ['play', 'pause', 'seekbackward', 'seekforward', 'seekto'] as const;

export class SystemControls {
  readonly #player: Player;
  #shown = '';
  #place = '';

  constructor(player: Player) {
    this.#player = player;
    if (!('mediaSession' in navigator)) return;
    const handlers: Readonly<Record<(typeof ACTIONS)[number], MediaSessionActionHandler>> = {
      play: () => this.#isPaused() && player.togglePlay(),
      pause: () => !this.#isPaused() && player.togglePlay(),
      seekbackward: ({ seekOffset }) => player.seekBy(-(seekOffset ?? STEP_S)),
      seekforward: ({ seekOffset }) => player.seekBy(seekOffset ?? STEP_S),
      seekto: ({ seekTime }) => {
        const length = player.timeline?.length ?? 0;
        if (seekTime !== undefined && length > 0) player.seekToShare(seekTime / length);
      },
    };
    for (const action of ACTIONS) this.#handle(action, handlers[action]);
  }

  show(subject: Subject): void {
    const shown = JSON.stringify(subject);
    if (!('mediaSession' in navigator) || shown === this.#shown) return;
    this.#shown = shown;
    const { title, artist, artwork } = subject;
    navigator.mediaSession.metadata = new MediaMetadata({
      title,
      artist,
      artwork: artwork === null ? [] : [{ src: artwork, type: 'image/jpeg' }],
    });
  }

  /** The system's bar is the page's: it ends at live. Whole seconds are enough for it. */
  render(): void {
    const timeline = this.#player.timeline;
    if (!('mediaSession' in navigator) || !('setPositionState' in navigator.mediaSession)) return;
    const length = Math.floor(timeline?.length ?? 0);
    const position = Math.max(0, length - Math.round(timeline?.behind ?? 0));
    const place = `${length} ${position} ${this.#isPaused()}`;
    if (place === this.#place) return;
    this.#place = place;
    if (length > 0) navigator.mediaSession.setPositionState({ duration: length, position, playbackRate: 1 });
    else navigator.mediaSession.setPositionState();
  }

  destroy(): void {
    if (!('mediaSession' in navigator)) return;
    navigator.mediaSession.metadata = null;
    for (const action of ACTIONS) this.#handle(action, null);
  }

  #isPaused(): boolean {
    return this.#player.video.paused;
  }

  #handle(action: (typeof ACTIONS)[number], handler: MediaSessionActionHandler | null): void {
    try {
      navigator.mediaSession.setActionHandler(action, handler);
    } catch {
      // A browser that does not know the action has no button for it.
    }
  }
}
