// Numbers as people read them. What is not known is a dash, never 0.

export const NONE = '–';

export function percent(share: number | null | undefined): string {
  return known(share) ? `${Math.round(share * 100)} %` : NONE;
}

export function bitrate(bitsPerSecond: number | null | undefined): string {
  if (!known(bitsPerSecond)) return NONE;
  if (bitsPerSecond >= 1e9) return `${(bitsPerSecond / 1e9).toFixed(2)} Gbit/s`;
  if (bitsPerSecond >= 9.95e6) return `${(bitsPerSecond / 1e6).toFixed(0)} Mbit/s`;
  if (bitsPerSecond >= 1e6) return `${(bitsPerSecond / 1e6).toFixed(1)} Mbit/s`;
  return `${Math.round(bitsPerSecond / 1e3)} kbit/s`;
}

export function bytes(count: number | null | undefined): string {
  if (!known(count)) return NONE;
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit] ?? ''}`;
}

export function celsius(degrees: number | null | undefined): string {
  return known(degrees) ? `${Math.round(degrees)} °C` : NONE;
}

export function milliseconds(value: number | null | undefined): string {
  if (!known(value)) return NONE;
  if (Math.abs(value) >= 10_000) return `${Math.round(value / 1000)} s`;
  if (Math.abs(value) >= 1_000) return `${(value / 1000).toFixed(1)} s`;
  return `${Math.abs(value) < 10 ? Number(value.toFixed(1)) : Math.round(value)} ms`;
}

export function count(value: number | null | undefined): string {
  return known(value) ? value.toLocaleString('en-GB') : NONE;
}

/** `1 box`, `3 boxes`. */
export function plural(value: number, one: string, many: string): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

export function resolution(width: number | null | undefined, height: number | null | undefined): string {
  return known(width) && known(height) && width > 0 && height > 0 ? `${width}×${height}` : NONE;
}

function known(value: number | null | undefined): value is number {
  return value !== null && value !== undefined && Number.isFinite(value);
}
