// The colours that are offered for names in chat; any other can be chosen too.

import { contrast, parse } from '../../chat/color';

export const CHOICES = [
  { color: '#ff6b6b', name: 'Coral' },
  { color: '#ff9f43', name: 'Orange' },
  { color: '#f2c14e', name: 'Yellow' },
  { color: '#8fd14f', name: 'Green' },
  { color: '#2ec4a6', name: 'Turquoise' },
  { color: '#5cc8e6', name: 'River' },
  { color: '#6ea8fe', name: 'Blue' },
  { color: '#9b8cff', name: 'Violet' },
  { color: '#d782f5', name: 'Orchid' },
  { color: '#ff7eb6', name: 'Pink' },
] as const;

const READABLE = 4.5;
const BY_DAY = parse('#ffffff');
const BY_NIGHT = parse('#141a22');

/** On which ground a colour is changed so that it can be read: light, dark, or none. */
export function isAdapted(color: string): 'light' | 'dark' | null {
  const rgb = parse(color);
  if (contrast(rgb, BY_DAY) < READABLE) return 'light';
  return contrast(rgb, BY_NIGHT) < READABLE ? 'dark' : null;
}
