// The quality menu as data: what is on offer, what is chosen, what is playing.

export interface Rung {
  /** The rendition's name, `720p`: stable over sessions, so that a choice survives them. */
  readonly name: string;
  readonly width: number;
  readonly height: number;
  readonly frameRate: number;
  /** In bit/s, all tracks. */
  readonly bandwidth: number;
}

/** A rung's name, or `auto`. */
export type Choice = string;
export const AUTO: Choice = 'auto';

export interface MenuItem {
  readonly choice: Choice;
  readonly label: string;
  /** Small print beside the label. */
  readonly note: string;
  readonly checked: boolean;
}

/** From here on the frame rate is worth saying. */
const HIGH_FRAME_RATE = 49;

/** `720p`, or `720p60` when the frame rate is worth saying and the name does not say it yet. */
export function labelOf(rung: Rung): string {
  const plain = /^\d+p$/.test(rung.name);
  return plain && rung.frameRate >= HIGH_FRAME_RATE ? `${rung.name}${Math.round(rung.frameRate)}` : rung.name;
}

/** The rendition's name out of its playlist's address, `…/720p.m3u8`; the height where that says nothing. */
export function nameOf(uri: string, height: number): string {
  const stem = /([^/?#]+)\.m3u8(?:[?#].*)?$/.exec(uri)?.[1];
  return stem ?? (height > 0 ? `${height}p` : 'video');
}

/** Best first; Auto leads. A choice that is not on offer counts as Auto, and comes back with its rung. */
export function menuOf(rungs: readonly Rung[], chosen: Choice, playing: Rung | null): MenuItem[] {
  const offered = rungs.some((rung) => rung.name === chosen);
  const auto: MenuItem = {
    choice: AUTO,
    label: 'Auto',
    note: !offered && playing !== null ? labelOf(playing) : '',
    checked: !offered,
  };
  const byQuality = [...rungs].sort((a, b) => b.height - a.height || b.bandwidth - a.bandwidth);
  return [
    auto,
    ...byQuality.map((rung) => ({
      choice: rung.name,
      label: labelOf(rung),
      note: '',
      checked: rung.name === chosen,
    })),
  ];
}

/** What the menu's button says. */
export function summaryOf(rungs: readonly Rung[], chosen: Choice, playing: Rung | null): string {
  const picked = rungs.find((rung) => rung.name === chosen);
  if (picked !== undefined) return labelOf(picked);
  return playing === null ? 'Auto' : `Auto ${labelOf(playing)}`;
}
