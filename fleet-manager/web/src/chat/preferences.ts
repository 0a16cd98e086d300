// How a viewer likes the chat, kept in this browser only.

const KEY = 'nodi.chat';

export const SIZES = ['small', 'normal', 'large', 'largest'] as const;
export type Size = (typeof SIZES)[number];

export interface ChatPreferences {
  readonly size: Size;
  readonly timestamps: boolean;
  /** Messages appear when the video comes to where they were written. */
  readonly inTime: boolean;
  /** New messages are read out by a screen reader. */
  readonly readOut: boolean;
}

const FIRST: ChatPreferences = { size: 'normal', timestamps: false, inTime: false, readOut: true };

export function parsePreferences(text: string | null): ChatPreferences {
  try {
    const value: unknown = JSON.parse(text ?? 'null');
    if (typeof value !== 'object' || value === null) return FIRST;
    const { size, timestamps, inTime, readOut } = { ...FIRST, ...value } as Record<
      keyof ChatPreferences,
      unknown
    >;
    const flag = (found: unknown, first: boolean) => (typeof found === 'boolean' ? found : first);
    return {
      size: SIZES.find((name) => name === size) ?? FIRST.size,
      timestamps: flag(timestamps, FIRST.timestamps),
      inTime: flag(inTime, FIRST.inTime),
      readOut: flag(readOut, FIRST.readOut),
    };
  } catch {
    return FIRST;
  }
}

export function loadPreferences(): ChatPreferences {
  try {
    return parsePreferences(localStorage.getItem(KEY));
  } catch {
    return FIRST; // Storage is switched off.
  }
}

export function savePreferences(preferences: ChatPreferences): void {
  try {
    localStorage.setItem(KEY, JSON.stringify(preferences));
  } catch {
    // Storage is switched off: the choice holds for this page.
  }
}
