// The shapes of the countries (Natural Earth, public domain), as paths on the map's square. Coarse ones first; finer ones
// once somebody looks closely.

import { feature, mesh } from 'topojson-client';
import type { GeometryCollection, Topology } from 'topojson-specification';
import coarseUrl from 'world-atlas/countries-110m.json?url';
import fineUrl from 'world-atlas/countries-50m.json?url';

import { project } from './projection';

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
      return geometry.coordinates.map((ring) => line(ring, true)).join('');
    case 'MultiPolygon':
      return geometry.coordinates.flatMap((polygon) => polygon.map((ring) => line(ring, true))).join('');
    case 'MultiLineString':
      return geometry.coordinates.map((part) => line(part, false)).join('');
    case 'LineString':
      return line(geometry.coordinates, false);
    default:
      return '';
  }
}

function line(positions: readonly Position[], closed: boolean): string {
  const points = positions.map(([longitude = 0, latitude = 0]) => {
    const { x, y } = project(longitude, latitude);
    return `${x.toFixed(2)},${y.toFixed(2)}`;
  });
  return points.length === 0 ? '' : `M${points.join('L')}${closed ? 'Z' : ''}`;
}
