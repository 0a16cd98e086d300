// Names of accounts: what the server takes, said while somebody types.

export const SHORTEST_NAME = 3;
export const LONGEST_NAME = 25;
/** The server's least; it has the last word. */
export const SHORTEST_PASSWORD = 10;

/** What is wrong with a name, or null. Nothing is wrong with none: somebody begins to type. */
export function wrongName(name: string): string | null {
  if (name === '') return null;
  if (!/^[A-Za-z0-9_]*$/.test(name)) return 'Only letters from A to Z, digits and _.';
  if (name.length > LONGEST_NAME) return `At most ${LONGEST_NAME} characters.`;
  return null;
}

export function nameIsComplete(name: string): boolean {
  return wrongName(name) === null && name.length >= SHORTEST_NAME;
}

/** A hue that belongs to a name, the same wherever it stands: 0 to 359. */
export function hueOf(name: string): number {
  let hash = 0;
  for (const character of name.toLowerCase()) {
    hash = (Math.imul(hash, 31) + (character.codePointAt(0) ?? 0)) >>> 0;
  }
  // Spread: names that begin alike shall not look alike.
  return (Math.imul(hash, 2_654_435_761) >>> 0) % 360;
}

export function initialOf(name: string): string {
  return [...name.trim()][0]?.toUpperCase() ?? '?';
}
