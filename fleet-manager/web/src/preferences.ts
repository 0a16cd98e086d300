// What a viewer chose once, kept in this browser only.

import { AUTO, type Choice } from './quality';

export interface Preferences {
  readonly volume: number;
  readonly muted: boolean;
  readonly choice: Choice;
  readonly theatre: boolean;
  /** The chat beside the picture. */
  readonly chat: boolean;
}

const KEY = 'nodi.preferences';
/** Muted, since browsers play without a gesture only then. */
const FIRST: Preferences = { volume: 1, muted: true, choice: AUTO, theatre: false, chat: true };

export function parsePreferences(text: string | null): Preferences {
  try {
    const value: unknown = JSON.parse(text ?? 'null');
    if (typeof value !== 'object' || value === null) return FIRST;
    const { volume, muted, choice, theatre, chat } = { ...FIRST, ...value };
    return {
      volume: typeof volume === 'number' && volume >= 0 && volume <= 1 ? volume : FIRST.volume,
      muted: typeof muted === 'boolean' ? muted : FIRST.muted,
      choice: typeof choice === 'string' ? choice : FIRST.choice,
      theatre: typeof theatre === 'boolean' ? theatre : FIRST.theatre,
      chat: typeof chat === 'boolean' ? chat : FIRST.chat,
    };
  } catch {
    return FIRST;
  }
}

export function loadPreferences(): Preferences {
  try {
    return parsePreferences(localStorage.getItem(KEY));
  } catch {
    return FIRST; // Storage is switched off.
  }
}

/** What is not named stays as it was. */
export function savePreferences(changes: Partial<Preferences>): void {
  try {
    localStorage.setItem(KEY, JSON.stringify({ ...loadPreferences(), ...changes }));
  } catch {
    // Storage is switched off: the choice holds for this page.
  }
}
