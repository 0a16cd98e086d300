// Addresses of ingest servers, as encoders want them.

import type { Ingest } from '../api/steering';

const PLACEHOLDER = '{stream_key}';

/** The part in front of the key: what OBS calls “Server”. */
export function serverOf(template: string): string {
  const at = template.indexOf(PLACEHOLDER);
  return (at < 0 ? template : template.slice(0, at)).replace(/\/+$/, '');
}

/** Encrypted where the server offers it. */
export function bestServer(ingest: Ingest): string {
  return serverOf(ingest.url_template_secure ? ingest.url_template_secure : ingest.url_template);
}

/** `availability` is 0 (full) to 1 (idle). */
export function busyness(availability: number): string {
  if (availability <= 0) return 'full';
  if (availability < 0.25) return 'nearly full';
  return availability < 0.75 ? 'busy' : 'free';
}
