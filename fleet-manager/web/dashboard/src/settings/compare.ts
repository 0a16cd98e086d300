// What a box shall be like beside what it says it is: the server's comparison, in words.

import type { DesiredView, Difference, Settings } from '../api/types';
import { KEYS, LIMIT_KEYS, LIMITS, SETTINGS, show, showLimit, type Key, type Limit } from './words';

/** Where a value comes from. */
export type Source = 'box' | 'fleet' | 'server' | 'own configuration';

export interface Line {
  readonly setting: string;
  readonly label: string;
  readonly source: Source;
  readonly desired: readonly string[];
  readonly reported: readonly string[];
  readonly standing: Difference['standing'];
}

/** In the order in which the editor has them. */
export function compare(view: DesiredView): readonly Line[] {
  return [...view.differences]
    .sort((one, other) => placeOf(one.setting) - placeOf(other.setting))
    .map(({ setting, desired, reported, standing }) => ({
      setting,
      label: labelOf(setting),
      source: sourceOf(view, setting),
      desired: desired === null ? ['as the box is configured'] : valueOf(setting, desired),
      reported: reported === null ? [] : valueOf(setting, reported),
      standing,
    }));
}

function split(setting: string): readonly [string, string | undefined] {
  const [key = '', inner] = setting.split('.');
  return [key, inner];
}

function placeOf(setting: string): number {
  const [key, inner] = split(setting);
  const place = KEYS.findIndex((other) => other === key);
  const within = LIMIT_KEYS.findIndex((limit) => limit === inner);
  return (place < 0 ? KEYS.length : place) * 10 + within;
}

function labelOf(setting: string): string {
  const [key, inner] = split(setting);
  const limit = LIMIT_KEYS.find((name) => name === inner);
  if (key === 'limits' && limit !== undefined) return `Limit: ${LIMITS[limit].label.toLowerCase()}`;
  // A newer server may have settings that this page does not know: by their own name.
  return SETTINGS[key as Key]?.label ?? setting;
}

function valueOf(setting: string, value: unknown): readonly string[] {
  const [key, inner] = split(setting);
  if (key === 'limits' && typeof value === 'number') return [showLimit(inner as Limit, value)];
  if (!(key in SETTINGS)) return [JSON.stringify(value)];
  return show(key as Key, value as Settings[Key]);
}

function sourceOf(view: DesiredView, setting: string): Source {
  const [key, inner] = split(setting);
  const has = (settings: Settings) => {
    const value: unknown = settings[key as Key];
    if (inner === undefined || value === undefined) return value !== undefined;
    return (value as Record<string, unknown>)[inner] !== undefined;
  };
  if (has(view.own)) return 'box';
  if (has(view.fleet)) return 'fleet';
  return has(view.effective) ? 'server' : 'own configuration';
}
