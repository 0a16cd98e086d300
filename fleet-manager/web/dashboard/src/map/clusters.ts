// Boxes that would lie on top of each other, drawn as one.

import type { BoxOnMap } from '../api/types';
import { project, type Point } from './projection';

export type Condition = 'ok' | 'warning' | 'critical' | 'offline' | 'unseen';

export interface Cluster {
  /** Stays the same while its boxes do. */
  readonly key: string;
  readonly at: Point;
  readonly boxes: readonly BoxOnMap[];
  /** How its boxes are, the worst first. */
  readonly counts: readonly { readonly condition: Condition; readonly count: number }[];
  readonly sessions: number;
}

export interface Placed {
  readonly box: BoxOnMap;
  readonly at: Point;
}

/** A finger's width, in pixels. */
const CELL = 44;

const WORST_FIRST: readonly Condition[] = ['critical', 'offline', 'warning', 'ok', 'unseen'];

export function conditionOf(box: BoxOnMap): Condition {
  if (box.state === 'offline') return 'offline';
  if (box.state !== 'online') return 'unseen';
  return box.health;
}

export function place(boxes: readonly BoxOnMap[]): Placed[] {
  return boxes.map((box) => ({ box, at: project(box.longitude, box.latitude) }));
}

interface Group {
  key: string;
  members: Placed[];
  at: Point;
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
  const groups = [...cells].map(([key, members]): Group => ({ key, members, at: middle(members) }));
  // A crowd on the border of two cells is one crowd: the greater ones take in what touches them.
  groups.sort((one, other) => other.members.length - one.members.length || one.key.localeCompare(other.key));
  const kept: Group[] = [];
  for (const group of groups) {
    const near = kept.find(({ at }) => Math.hypot(at.x - group.at.x, at.y - group.at.y) < cell);
    if (near === undefined) {
      kept.push(group);
    } else {
      near.members = [...near.members, ...group.members];
      near.at = middle(near.members);
    }
  }
  return kept.map(({ key, members, at }) => {
    // Who needs somebody comes first in the list, too.
    const boxes = members
      .map(({ box }) => box)
      .sort((one, other) => WORST_FIRST.indexOf(conditionOf(one)) - WORST_FIRST.indexOf(conditionOf(other)));
    const conditions = boxes.map(conditionOf);
    const counts = WORST_FIRST.map((condition) => ({
      condition,
      count: conditions.filter((other) => other === condition).length,
    })).filter(({ count }) => count > 0);
    return {
      key: `${step}:${key}`,
      at,
      boxes,
      counts,
      sessions: boxes.reduce((sum, box) => sum + box.sessions, 0),
    };
  });
}

function middle(members: readonly Placed[]): Point {
  return {
    x: members.reduce((sum, { at }) => sum + at.x, 0) / members.length,
    y: members.reduce((sum, { at }) => sum + at.y, 0) / members.length,
  };
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
  const parts = cluster.counts.map(({ condition, count }) => `${count} ${WORDS[condition]}`);
  if (cluster.boxes.length > 1 || first === undefined) {
    return `${cluster.boxes.length} boxes: ${parts.join(', ')}${streams}`;
  }
  return `${first.name}: ${WORDS[conditionOf(first)]}${streams}`;
}
