// Spans of time as people type them: `90 d`, `12h`, `1h 30m`, `2 weeks`.

const UNITS: Readonly<Record<string, number>> = {
  s: 1,
  m: 60,
  h: 3_600,
  d: 86_400,
  w: 7 * 86_400,
  y: 365 * 86_400,
};

/** What a word begins with is what it means; months are left out, since nobody knows how long one is. */
const SPELLINGS: ReadonlyArray<readonly [RegExp, string]> = [
  [/^s(ec(ond)?s?)?$/, 's'],
  [/^m(in(ute)?s?)?$/, 'm'],
  [/^h((ou)?rs?)?$/, 'h'],
  [/^d(ays?)?$/, 'd'],
  [/^w(eeks?)?$/, 'w'],
  [/^y(ears?)?$/, 'y'],
];

export type Parsed = { ok: true; seconds: number } | { ok: false; reason: string };

const EXAMPLE = 'write a number and a unit, such as 12 h, 30 d or 1 y';

/** Parses a positive span; a sum of several (`1 d 12 h`) is one. */
export function parseDuration(text: string): Parsed {
  const trimmed = text.trim().toLowerCase();
  if (trimmed === '') return { ok: false, reason: EXAMPLE };
  let rest = trimmed;
  let total = 0;
  while (rest !== '') {
    const match = /^(\d+(?:\.\d+)?)\s*([a-z]+)[\s,]*/.exec(rest);
    if (match === null) return { ok: false, reason: EXAMPLE };
    const [whole, amount = '', word = ''] = match;
    const unit = SPELLINGS.find(([spelling]) => spelling.test(word))?.[1];
    const size = unit === undefined ? undefined : UNITS[unit];
    if (size === undefined) return { ok: false, reason: `“${word}” is not a unit of time: ${EXAMPLE}` };
    total += Number(amount) * size;
    rest = rest.slice(whole.length);
  }
  const seconds = Math.round(total);
  if (seconds < 1) return { ok: false, reason: 'the span has to be longer than nothing' };
  if (seconds > 100 * 365 * 86_400) return { ok: false, reason: 'that is more than a hundred years' };
  return { ok: true, seconds };
}
