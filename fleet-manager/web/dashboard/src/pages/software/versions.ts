// What runs where, gathered by board.

import type { SoftwareRow } from '../../api/software';

export interface Board {
  /** Null: boxes that take no updates. */
  readonly compatible: string | null;
  readonly boxes: number;
  /** The newest version first. */
  readonly versions: readonly SoftwareRow[];
}

/** Boards with the most boxes first. */
export function byBoard(rows: readonly SoftwareRow[]): readonly Board[] {
  const boards = new Map<string | null, SoftwareRow[]>();
  for (const row of rows) {
    const key = row.compatible === '' ? null : row.compatible;
    boards.set(key, [...(boards.get(key) ?? []), row]);
  }
  return [...boards]
    .map(([compatible, versions]) => ({
      compatible,
      boxes: versions.reduce((sum, row) => sum + row.boxes, 0),
      versions: versions.sort((a, b) => compareVersions(b.version, a.version)),
    }))
    .sort((a, b) => Number(a.compatible === null) - Number(b.compatible === null) || b.boxes - a.boxes);
}

/** `0.10.0` is newer than `0.9.2`. */
export function compareVersions(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}

/** How many boxes a bundle fits, how many of them run its version already, and how many are connected. */
export interface Fit {
  readonly boxes: number;
  readonly already: number;
  readonly online: number;
}

export function fitting(
  rows: readonly SoftwareRow[],
  bundle: { readonly compatible: string; readonly version: string },
): Fit {
  const fit = rows.filter((row) => row.compatible === bundle.compatible);
  const sum = (list: readonly SoftwareRow[], key: 'boxes' | 'online') =>
    list.reduce((total, row) => total + row[key], 0);
  return {
    boxes: sum(fit, 'boxes'),
    already: sum(
      fit.filter((row) => row.version === bundle.version),
      'boxes',
    ),
    online: sum(fit, 'online'),
  };
}
