// Boxes as they are picked for a rollout.

import { api } from '../api/client';
import type { BoxSummary, Page } from '../api/types';

export interface Picked {
  readonly id: string;
  readonly name: string;
}

/** How many boxes try it first: one, and one more for every fifty. */
export function canariesFor(total: number): number {
  return total < 2 ? 0 : Math.min(5, 1 + Math.floor(total / 50));
}

/** Boxes that are well and have nothing to lose just now. */
export async function suggestCanaries(
  bundle: { readonly compatible: string; readonly version: string },
  wanted: number,
  signal: AbortSignal,
): Promise<readonly Picked[]> {
  if (wanted === 0) return [];
  const page = await api.get<Page<BoxSummary>>('/boxes', {
    query: { state: 'online', health: 'ok', compatible: bundle.compatible, per_page: 200, sort: 'name' },
    signal,
  });
  return page.items
    .filter((box) => box.version !== bundle.version && !box.drain)
    .sort((a, b) => a.sessions - b.sessions)
    .slice(0, wanted)
    .map(({ id, name }) => ({ id, name }));
}
