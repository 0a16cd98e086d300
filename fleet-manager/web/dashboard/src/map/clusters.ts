// Boxes that would lie on top of each other, drawn as one.

import type { BoxOnMap } from '../api/types';
import { project, type Point } from './projection';

export type Condition = 'ok' | 'warning' | 'critical' | 'offline' | 'unseen';

export interface Cluster {
  /** Stays the same while its boxes do. */
  readonly key: string;
  readonly at: Point;
  readonly boxes: readonly BoxOnMap[];
  /** The worst of its boxes. */
  readonly condition: Condition;
  readonly sessions: number;
}

export interface Placed {
  readonly box: BoxOnMap;
  readonly at: Point;
}

/** A finger's width, in pixels. */
const CELL = 38;

const WORST_FIRST: readonly Condition[] = ['critical', 'offline', 'warning', 'ok', 'unseen'];

export function conditionOf(box: BoxOnMap): Condition {
  if (box.state === 'offline') return 'offline';
  if (box.state !== 'online') return 'unseen';
  return box.health;
}

export function place(boxes: readonly BoxOnMap[]): Placed[] {
  return boxes.map((box) => ({ box, at: project(box.longitude, box.latitude) }));
}

/** `scale`: pixels per unit of the map. Cells lie still while the map is moved, so that nothing flickers. */
export function cluster(placed: readonly Placed[], scale: number): Cluster[] {
  // Zooming changes the cells in steps, not with each turn of the wheel.
  const step = 2 ** (Math.round(Math.log2(scale) * 2) / 2);
  const cell = CELL / step;
  const cells = new Map<string, Placed[]>();
  for (const one of placed) {
    const key = `${Math.floor(one.at.x / cell)},${Math.floor(one.at.y / cell)}`;
    const others = cells.get(key);
    if (others === undefined) cells.set(key, [one]);
    else others.push(one);
  }
  return [...cells].map(([key, members]) => {
    const conditions = new Set(members.map(({ box }) => conditionOf(box)));
    return {
      key: `${step}:${key}`,
      at: {
        x: members.reduce((sum, { at }) => sum + at.x, 0) / members.length,
        y: members.reduce((sum, { at }) => sum + at.y, 0) / members.length,
      },
      boxes: members.map(({ box }) => box),
      condition: WORST_FIRST.find((condition) => conditions.has(condition)) ?? 'unseen',
      sessions: members.reduce((sum, { box }) => sum + box.sessions, 0),
    };
  });
}

const WORDS: Readonly<Record<Condition, string>> = {
  ok: 'online',
  warning: 'with a warning',
  critical: 'critical',
  offline: 'offline',
  unseen: 'not seen yet',
};

/** `Pisa`, or `12 boxes: 1 critical, 2 offline, 9 online; 3 streams`. */
export function describe(cluster: Cluster): string {
  const streams =
    cluster.sessions === 0 ? '' : `; ${cluster.sessions} ${cluster.sessions === 1 ? 'stream' : 'streams'}`;
  const [first] = cluster.boxes;
  if (cluster.boxes.length === 1 && first !== undefined)
    return `${first.name}: ${WORDS[cluster.condition]}${streams}`;
  const parts = WORST_FIRST.map(
    (condition) => [condition, cluster.boxes.filter((box) => conditionOf(box) === condition).length] as const,
  )
    .filter(([, count]) => count > 0)
    .map(([condition, count]) => `${count} ${WORDS[condition]}`);
  return `${cluster.boxes.length} boxes: ${parts.join(', ')}${streams}`;
}
