import { describe, expect, it } from 'vitest';

import type { BoxOnMap } from '../src/api/types';
import { cluster, describe as words, place } from '../src/map/clusters';
import { drawn } from '../src/map/land';
import { bound, fit, MOST_SCALE, onScreen, project, worldView, zoom } from '../src/map/projection';

const SIZE = { width: 800, height: 400 };

function box(id: string, latitude: number, longitude: number, more: Partial<BoxOnMap> = {}): BoxOnMap {
  return { id, name: id, state: 'online', health: 'ok', sessions: 0, latitude, longitude, ...more };
}

describe('the projection', () => {
  it('puts Greenwich in the middle, and the poles within', () => {
    expect(project(0, 0)).toEqual({ x: 500, y: 500 });
    expect(project(-180, 0).x).toBe(0);
    expect(project(180, 0).x).toBe(1000);
    expect(project(0, 90).y).toBeGreaterThanOrEqual(0);
    expect(project(0, -90).y).toBeLessThanOrEqual(1000);
    expect(project(0, 60).y).toBeLessThan(project(0, 10).y);
  });

  it('shows every box that it fits', () => {
    const points = [project(90, 23), project(-122, 37), project(151, -33)];
    const view = fit(points, SIZE);
    for (const point of points) {
      const { x, y } = onScreen(point, view, SIZE);
      expect(x).toBeGreaterThanOrEqual(0);
      expect(x).toBeLessThanOrEqual(SIZE.width);
      expect(y).toBeGreaterThanOrEqual(0);
      expect(y).toBeLessThanOrEqual(SIZE.height);
    }
    // One box alone is not looked at through a microscope.
    expect(fit([project(10, 43)], SIZE).scale).toBeLessThan(MOST_SCALE / 5);
    expect(fit([], SIZE)).toEqual(worldView(SIZE));
  });

  it('keeps what is under the pointer where it is', () => {
    const view = bound({ x: 500, y: 400, scale: 2 }, SIZE);
    const closer = zoom(view, SIZE, 3, 200, 100);
    const before = { x: view.x + (200 - 400) / view.scale, y: view.y + (100 - 200) / view.scale };
    const after = onScreen(before, closer, SIZE);
    expect(after.x).toBeCloseTo(200);
    expect(after.y).toBeCloseTo(100);
  });

  it('never leaves the world', () => {
    const far = bound({ x: -900, y: 9_000, scale: 0.0001 }, SIZE);
    expect(far.scale).toBe(SIZE.width / 1000);
    expect(far.x).toBe(500);
    expect(bound({ x: 0, y: 0, scale: 1e9 }, SIZE).scale).toBe(MOST_SCALE);
  });
});

describe('crowds', () => {
  it('are one when they would overlap, and apart when one looks closely', () => {
    const boxes = place([
      box('a', 43.7, 10.4),
      box('b', 43.8, 10.5, { state: 'offline' }),
      box('c', 23.8, 90.4),
    ]);
    const far = cluster(boxes, 1);
    expect(far.map((one) => one.boxes.length).sort()).toEqual([1, 2]);
    const near = cluster(boxes, 20);
    expect(near.length).toBe(2);
    expect(cluster(boxes, 5_000).length).toBe(3);
    expect(far.flatMap((one) => one.boxes).length).toBe(3);
  });

  it('say how their boxes are, the worst first', () => {
    const [one] = cluster(
      place([
        box('a', 1, 1),
        box('b', 1, 1, { health: 'critical', sessions: 1 }),
        box('c', 1, 1, { state: 'offline' }),
        box('d', 1, 1),
      ]),
      1,
    );
    expect(one === undefined ? '' : words(one)).toBe('4 boxes: 1 critical, 1 offline, 2 online; 1 stream');
    const [alone] = cluster(place([box('Pisa', 1, 1, { health: 'warning' })]), 1);
    expect(alone === undefined ? '' : words(alone)).toBe('Pisa: with a warning');
  });

  it('stay who they are while the map is moved', () => {
    const boxes = place([box('a', 43.7, 10.4), box('b', -33, 151)]);
    const keys = cluster(boxes, 3).map(({ key }) => key);
    expect(cluster(boxes, 3.05).map(({ key }) => key)).toEqual(keys);
  });
});

describe('shapes', () => {
  it('across the 180th meridian are drawn at both edges, and nowhere between', () => {
    const path = drawn(
      [
        [178, 10],
        [-178, 10],
        [-178, 20],
        [178, 20],
        [178, 10],
      ],
      true,
    );
    const xs = [...path.matchAll(/[ML](-?[\d.]+),/g)].map(([, x]) => Number(x));
    expect(path.match(/M/g)?.length).toBe(2);
    for (const x of xs) expect(Math.min(Math.abs(x), Math.abs(x - 1000))).toBeLessThan(6);
  });

  it('around a pole are closed along the edge', () => {
    const ring = Array.from({ length: 37 }, (_, index) => [((index * 10 + 180) % 360) - 180, -70]);
    expect(drawn(ring, true)).toContain(',1000.00');
  });
});
