// Channel ids, as `protocol` has them: 1 to 32 of a-z, 0-9, `_` and `-`, beginning with a letter or digit.

export const LONGEST_ID = 32;

/** An id that reads like the name: “Küche & Co” becomes `kuche-co`. Empty when nothing of it is left. */
export function idFrom(name: string): string {
  return name
    .normalize('NFKD')
    .toLowerCase()
    .replaceAll(/\p{M}/gu, '')
    .replaceAll('ß', 'ss')
    .replaceAll(/[^a-z0-9_]+/g, '-')
    .replaceAll(/^[-_]+|-+$/g, '')
    .slice(0, LONGEST_ID)
    .replace(/-+$/, '');
}

/** What is wrong with it, or null. */
export function wrongId(id: string): string | null {
  if (id === '') return null;
  if (id.length > LONGEST_ID) return `At most ${LONGEST_ID} characters.`;
  if (!/^[a-z0-9]/.test(id)) return 'It has to begin with a small letter or a digit.';
  return /^[a-z0-9_-]+$/.test(id) ? null : 'Only small letters, digits, - and _.';
}
