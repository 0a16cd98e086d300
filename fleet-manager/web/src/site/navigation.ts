// Where one can go from everywhere.

import type { IconName } from '../../dashboard/src/ui/icons';

export interface Place {
  readonly href: string;
  readonly label: string;
  readonly icon: IconName;
}

export const NAVIGATION: readonly Place[] = [
  { href: '/', label: 'Live', icon: 'live' },
  { href: '/following', label: 'Following', icon: 'heart' },
  { href: '/studio', label: 'Studio', icon: 'golive' },
];

/** Whether `path` is that place, or hangs below it. */
export function isHere(path: string, href: string): boolean {
  return path === href || (href !== '/' && path.startsWith(`${href}/`));
}
