// Names in colours that can be read: what an account chose, moved towards black by day and white by night for as much as its
// contrast needs.

export interface Readable {
  readonly light: string;
  readonly dark: string;
}

/** The darkest ground by day and the lightest by night on which a name stands (a row that is pointed at, or highlighted). */
const GROUND = { light: [0xe4, 0xec, 0xf3], dark: [0x1e, 0x2a, 0x36] } as const;
/** WCAG 2.2, 1.4.3. */
const CONTRAST = 4.5;
/** Colours that are remembered; more would be a crowd choosing at random. */
const MOST = 500;

type Rgb = readonly [number, number, number];

const known = new Map<string, Readable>();

/** `color`: `#rrggbb`; without one, or with anything else, the account's id chooses. */
export function nameColor(color: string | undefined, id: string): Readable {
  const chosen = color !== undefined && /^#[0-9a-f]{6}$/i.test(color) ? color.toLowerCase() : null;
  const key = chosen ?? id;
  const found = known.get(key);
  if (found !== undefined) return found;
  const rgb = chosen === null ? fromHue(hash(id) % 360) : parse(chosen);
  const readable = {
    light: css(shifted(rgb, [0, 0, 0], GROUND.light)),
    dark: css(shifted(rgb, [255, 255, 255], GROUND.dark)),
  };
  if (known.size >= MOST) known.clear();
  known.set(key, readable);
  return readable;
}

export function contrast(a: Rgb, b: Rgb): number {
  const [bright, dim] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number];
  return (bright + 0.05) / (dim + 0.05);
}

export function parse(color: string): Rgb {
  const value = Number.parseInt(color.slice(1), 16);
  return [(value >> 16) & 255, (value >> 8) & 255, value & 255];
}

/** The least step from `from` towards `to` that can be read on `ground`. */
function shifted(from: Rgb, to: Rgb, ground: Rgb): Rgb {
  const at = (share: number): Rgb => {
    const mix = (i: 0 | 1 | 2) => Math.round(from[i] + (to[i] - from[i]) * share);
    return [mix(0), mix(1), mix(2)];
  };
  for (let step = 0; step < 50; step += 1) {
    const color = at(step / 50);
    if (contrast(color, ground) >= CONTRAST) return color;
  }
  return to;
}

/** WCAG 2.2, relative luminance. */
function luminance(rgb: Rgb): number {
  const linear = (i: 0 | 1 | 2) => {
    const value = rgb[i] / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  };
  return 0.2126 * linear(0) + 0.7152 * linear(1) + 0.0722 * linear(2);
}

function fromHue(hue: number): Rgb {
  const channel = (shift: number) => {
    const k = (shift + hue / 30) % 12;
    return Math.round(255 * (0.52 - 0.31 * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [channel(0), channel(8), channel(4)];
}

function hash(text: string): number {
  let value = 2_166_136_261;
  for (let i = 0; i < text.length; i += 1) value = Math.imul(value ^ text.charCodeAt(i), 16_777_619);
  return value >>> 0;
}

function css([r, g, b]: Rgb): string {
  return `rgb(${r} ${g} ${b})`;
}
