// Emotes that a channel uploads: what the server takes, said before anything is sent.

/** The server has the last word on all of these. */
export const TYPES: readonly string[] = ['image/png', 'image/gif', 'image/webp'];
export const LARGEST_BYTES = 256 * 1024;
const SHORTEST_NAME = 2;
const LONGEST_NAME = 24;

/** What is wrong with a name (without its colons), or null; nothing is wrong with none. */
export function wrongEmoteName(name: string): string | null {
  if (name === '') return null;
  if (name.length > LONGEST_NAME) return `At most ${LONGEST_NAME} characters.`;
  return /^[a-z0-9_]+$/.test(name) ? null : 'Only small letters, digits and _.';
}

export function nameIsComplete(name: string): boolean {
  return wrongEmoteName(name) === null && name.length >= SHORTEST_NAME;
}

/** A name that reads like the file's: `Happy Dance (2).png` becomes `happydance2`. */
export function nameFrom(file: string): string {
  return file
    .replace(/\.[^.]*$/, '')
    .normalize('NFKD')
    .toLowerCase()
    .replaceAll(/[^a-z0-9_]+/g, '')
    .slice(0, LONGEST_NAME);
}

/** What is wrong with an image, or null. */
export function wrongImage(file: { readonly type: string; readonly size: number }): string | null {
  if (!TYPES.includes(file.type)) return 'An emote is a PNG, GIF or WebP image.';
  if (file.size > LARGEST_BYTES)
    return `At most ${LARGEST_BYTES / 1024} KiB; this one has ${Math.ceil(file.size / 1024)}.`;
  return null;
}
