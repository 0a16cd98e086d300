// What a box shall be like beside what it says it is.

import type { DesiredView, Settings } from '../api/types';
import { KEYS, same, type Key } from './words';

/** Where a value comes from. */
export type Source = 'box' | 'fleet' | 'own configuration';

export type Standing =
  /** In force on the box. */
  | 'in force'
  /** The box has it; it counts from the next stream on. */
  | 'next stream'
  /** On its way. */
  | 'waiting'
  /** The box said no. */
  | 'refused';

export interface Line {
  readonly key: Key;
  readonly source: Source;
  readonly wanted: Settings[Key];
  readonly reported: Settings[Key];
  readonly standing: Standing;
}

/** One line per setting that anybody set, or that the box still has in force. */
export function compare(view: DesiredView): readonly Line[] {
  const reported = view.reported?.settings ?? {};
  const current = view.reported !== null && view.reported.applied >= view.version;
  const refused = view.reported?.rejected != null && view.reported.rejected.version >= view.version;
  return KEYS.filter((key) => view.effective[key] !== undefined || reported[key] !== undefined).map((key) => {
    const wanted = view.effective[key];
    const pending = view.reported?.pending.includes(key) ?? false;
    const standing: Standing =
      pending && current
        ? 'next stream'
        : same(wanted, reported[key])
          ? 'in force'
          : refused
            ? 'refused'
            : 'waiting';
    const source: Source =
      view.own[key] !== undefined ? 'box' : view.fleet[key] !== undefined ? 'fleet' : 'own configuration';
    return { key, source, wanted, reported: reported[key], standing };
  });
}
