// `window.__nodi`: what support and tests read. Diagnostics, not an interface to build upon.

import type { Player, Note } from './player';
import type { Phase } from './phase';

export interface Diagnostics {
  readonly channel: string;
  /** `connecting`, `offline`, `starting`, `live`, `paused`, `buffering`, `reconnecting` or `ended`. */
  readonly state: Phase;
  readonly engine: string | null;
  /** Seconds from the streamer's box to the screen by the clock in the stream, else behind the live edge. */
  readonly latency: number | null;
  /** Seconds behind the live edge: now, and as aimed for. */
  readonly edgeLatency: number | null;
  readonly targetLatency: number | null;
  readonly playbackRate: number;
  /** Seconds of media ahead. */
  readonly buffered: number;
  /** Whether the player holds its distance to the live edge, or stays where the viewer went back to. */
  readonly following: boolean;
  /** Seconds behind live of who does not follow it, and the most that one can go back. */
  readonly behind: number | null;
  readonly rewindable: number | null;
  /** The rung on the screen, and the one that was chosen (`auto` if none). */
  readonly level: string | null;
  readonly chosen: string;
  readonly levels: readonly string[];
  /** Decoded size. */
  readonly width: number;
  readonly height: number;
  /** Estimated network bandwidth, in bit/s. */
  readonly bandwidth: number | null;
  /** Times that playback ran out of media after its first frame. */
  readonly stalls: number;
  readonly dropped: number;
  readonly decoded: number;
  /** Times that the source was opened anew. */
  readonly reopened: number;
  /** Milliseconds from opening the page to the first frame. */
  readonly firstFrameMs: number | null;
  /** The last events, oldest first; times in milliseconds since the page was opened. */
  readonly notes: readonly Note[];
}

declare global {
  interface Window {
    readonly __nodi: Diagnostics;
  }
}

/** Returns what takes them away again. */
export function exposeDiagnostics(player: Player): () => void {
  const read = (): Diagnostics => ({
    channel: player.channel,
    state: player.phase,
    engine: player.engine?.kind ?? null,
    latency: player.latency,
    edgeLatency: player.engine?.latency() ?? null,
    targetLatency: player.targetLatency,
    playbackRate: player.video.playbackRate,
    buffered: player.buffered,
    following: player.isFollowingLive,
    behind: player.timeline?.behind ?? null,
    rewindable: player.timeline?.length ?? null,
    level: player.playing?.name ?? null,
    chosen: player.choice,
    levels: player.rungs.map((rung) => rung.name),
    width: player.video.videoWidth,
    height: player.video.videoHeight,
    bandwidth: player.engine?.bandwidth() ?? null,
    stalls: player.stalls,
    dropped: player.dropped,
    decoded: player.video.getVideoPlaybackQuality().totalVideoFrames,
    reopened: player.reopened,
    firstFrameMs: player.firstFrameMs,
    notes: player.notes,
  });
  Object.defineProperty(window, '__nodi', { get: read, configurable: true });
  return () => {
    // Another player may have come meanwhile.
    if (window.__nodi.channel === player.channel) Reflect.deleteProperty(window, '__nodi');
  };
}
