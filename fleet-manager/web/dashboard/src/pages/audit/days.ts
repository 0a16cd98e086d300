// Days of a date field as points in time, in the reader's own zone.

function local(day: string): Date | null {
  const match = /^(\d{4})-(\d{2})-(\d{2})$/.exec(day);
  if (match === null) return null;
  const [, year, month, date] = match.map(Number);
  const at = new Date(year ?? 0, (month ?? 1) - 1, date);
  // 31 February rolls over into March.
  return at.getDate() === date ? at : null;
}

export function dayStart(day: string): number | null {
  return local(day)?.getTime() ?? null;
}

/** When the next one begins: a day of a change of the clocks is not 24 hours long. */
export function dayEnd(day: string): number | null {
  const at = local(day);
  return at === null ? null : new Date(at.getFullYear(), at.getMonth(), at.getDate() + 1).getTime();
}
