// The shapes of the countries (Natural Earth, public domain), as paths on the map's square. Coarse ones first; finer ones
// once somebody looks closely.

import { feature, mesh } from 'topojson-client';
import type { GeometryCollection, Topology } from 'topojson-specification';
import coarseUrl from 'world-atlas/countries-110m.json?url';
import fineUrl from 'world-atlas/countries-50m.json?url';

import { project, WORLD, type Point } from './projection';

export interface Land {
  readonly land: string;
  readonly borders: string;
}

export type Detail = 'coarse' | 'fine';

const URLS: Readonly<Record<Detail, string>> = { coarse: coarseUrl, fine: fineUrl };
const loaded = new Map<Detail, Promise<Land>>();

export function loadLand(detail: Detail): Promise<Land> {
  const known = loaded.get(detail);
  if (known !== undefined) return known;
  const promise = read(URLS[detail]);
  loaded.set(detail, promise);
  // Next time is another try.
  promise.catch(() => loaded.delete(detail));
  return promise;
}

async function read(url: string): Promise<Land> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`The map's shapes: status ${response.status}`);
  const topology = (await response.json()) as Topology<{
    land: GeometryCollection;
    countries: GeometryCollection;
  }>;
  const { land, countries } = topology.objects;
  const shapes = feature(topology, land);
  return {
    land: shapes.features.map(({ geometry }) => pathOf(geometry)).join(''),
    borders: pathOf(mesh(topology, countries, (one, other) => one !== other)),
  };
}

type Position = readonly number[];

function pathOf(geometry: GeoJSON.Geometry | null): string {
  switch (geometry?.type) {
    case 'Polygon':
      return geometry.coordinates.map((ring) => drawn(ring, true)).join('');
    case 'MultiPolygon':
      return geometry.coordinates.flatMap((polygon) => polygon.map((ring) => drawn(ring, true))).join('');
    case 'MultiLineString':
      return geometry.coordinates.map((part) => drawn(part, false)).join('');
    case 'LineString':
      return drawn(geometry.coordinates, false);
    default:
      return '';
  }
}

/** One ring or line. What crosses the 180th meridian goes on beyond the map's edge and is drawn at both edges. */
export function drawn(positions: readonly Position[], closed: boolean): string {
  const points: Point[] = [];
  let turn = 0;
  let before: number | null = null;
  for (const [longitude = 0, latitude = 0] of positions) {
    if (before !== null && longitude - before > 180) turn -= 360;
    if (before !== null && longitude - before < -180) turn += 360;
    before = longitude;
    const { y } = project(longitude, latitude);
    points.push({ x: ((longitude + turn + 180) / 360) * WORLD, y });
  }
  const [first] = points;
  const last = points.at(-1);
  if (first === undefined || last === undefined) return '';
  // Antarctica goes all the way round: closed along the map's lower edge.
  if (closed && Math.abs(last.x - first.x) > WORLD / 2)
    points.push({ x: last.x, y: WORLD }, { x: first.x, y: WORLD });
  const xs = points.map(({ x }) => x);
  const shifts = [0];
  if (Math.min(...xs) < 0) shifts.push(WORLD);
  if (Math.max(...xs) > WORLD) shifts.push(-WORLD);
  return shifts
    .map(
      (shift) =>
        `M${points.map(({ x, y }) => `${(x + shift).toFixed(2)},${y.toFixed(2)}`).join('L')}${closed ? 'Z' : ''}`,
    )
    .join('');
}
