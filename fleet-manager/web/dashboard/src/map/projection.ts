// Web Mercator on a square of 1000 × 1000: shapes stay right when one zooms into a city.

export interface Point {
  readonly x: number;
  readonly y: number;
}

export const WORLD = 1000;
/** Beyond it the square ends. */
const MOST_LATITUDE = 85;

export function project(longitude: number, latitude: number): Point {
  const bounded = Math.min(Math.max(latitude, -MOST_LATITUDE), MOST_LATITUDE);
  const radians = (bounded * Math.PI) / 180;
  return {
    x: ((longitude + 180) / 360) * WORLD,
    y: (0.5 - Math.log(Math.tan(Math.PI / 4 + radians / 2)) / (2 * Math.PI)) * WORLD,
  };
}

/** What the window shows: `scale` pixels per unit of the square, around a centre. */
export interface View {
  readonly x: number;
  readonly y: number;
  readonly scale: number;
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** Streets apart: closer than the shapes are true. */
export const MOST_SCALE = 160;

/** Where people live: neither pole. */
const INHABITED = { from: project(-168, 74), to: project(180, -56) };

/** The smallest part of the world that is worth a picture, for a fleet in one town: some 10°. */
const LEAST_SPAN = 30;

export function worldView(size: Size): View {
  const { from, to } = INHABITED;
  return around(from, to, size);
}

/** All points with some room around them. */
export function fit(points: readonly Point[], size: Size): View {
  if (points.length === 0) return worldView(size);
  const xs = points.map((point) => point.x);
  const ys = points.map((point) => point.y);
  const from = { x: least(xs), y: least(ys) };
  const to = { x: most(xs), y: most(ys) };
  const room = Math.max(LEAST_SPAN, to.x - from.x, to.y - from.y) * 0.16;
  return around({ x: from.x - room, y: from.y - room }, { x: to.x + room, y: to.y + room }, size);
}

function around(from: Point, to: Point, size: Size): View {
  const width = Math.max(to.x - from.x, LEAST_SPAN);
  const height = Math.max(to.y - from.y, LEAST_SPAN);
  const scale = Math.min(size.width / width, size.height / height);
  return bound({ x: (from.x + to.x) / 2, y: (from.y + to.y) / 2, scale }, size);
}

/** Kept within the world: no emptiness beside it. */
export function bound(view: View, size: Size): View {
  const scale = Math.min(Math.max(view.scale, size.width / WORLD), MOST_SCALE);
  const halfWidth = Math.min(size.width / scale, WORLD) / 2;
  const halfHeight = Math.min(size.height / scale, WORLD) / 2;
  return {
    x: Math.min(Math.max(view.x, halfWidth), WORLD - halfWidth),
    y: Math.min(Math.max(view.y, halfHeight), WORLD - halfHeight),
    scale,
  };
}

/** Closer by `factor` with the point under (`px`, `py`) where it is. */
export function zoom(
  view: View,
  size: Size,
  factor: number,
  px = size.width / 2,
  py = size.height / 2,
): View {
  const scale = bound({ ...view, scale: view.scale * factor }, size).scale;
  const before = { x: (px - size.width / 2) / view.scale, y: (py - size.height / 2) / view.scale };
  const after = { x: (px - size.width / 2) / scale, y: (py - size.height / 2) / scale };
  return bound({ x: view.x + before.x - after.x, y: view.y + before.y - after.y, scale }, size);
}

export function onScreen(point: Point, view: View, size: Size): Point {
  return {
    x: (point.x - view.x) * view.scale + size.width / 2,
    y: (point.y - view.y) * view.scale + size.height / 2,
  };
}

// Not Math.min(...values): five thousand arguments are close to what a call takes.
const least = (values: readonly number[]) => values.reduce((a, b) => Math.min(a, b), Infinity);
const most = (values: readonly number[]) => values.reduce((a, b) => Math.max(a, b), -Infinity);
