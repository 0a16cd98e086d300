// Numbers as the readout shows them.

const NONE = '–';

export function seconds(value: number | null): string {
  if (value === null || !Number.isFinite(value)) return NONE;
  return `${Math.max(0, value).toFixed(1)} s`;
}

export function bitrate(bitsPerSecond: number | null): string {
  if (bitsPerSecond === null || !Number.isFinite(bitsPerSecond) || bitsPerSecond <= 0) return NONE;
  const megabits = bitsPerSecond / 1e6;
  if (megabits >= 10) return `${megabits.toFixed(0)} Mbit/s`;
  if (megabits >= 1) return `${megabits.toFixed(1)} Mbit/s`;
  return `${(bitsPerSecond / 1e3).toFixed(0)} kbit/s`;
}

export function resolution(width: number, height: number): string {
  return width > 0 && height > 0 ? `${width}×${height}` : NONE;
}

export function frames(count: number): string {
  return count === 1 ? '1 frame' : `${count} frames`;
}
