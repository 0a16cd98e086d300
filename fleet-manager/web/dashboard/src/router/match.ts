// Which page an address names.

export type Params = Readonly<Record<string, string>>;

/** `pattern` has literal segments and `:name` ones, such as `/boxes/:id`. */
export function match(pattern: string, path: string): Params | null {
  const expected = split(pattern);
  const found = split(path);
  if (expected.length !== found.length) return null;
  const params: Record<string, string> = {};
  for (const [index, segment] of expected.entries()) {
    const actual = found[index] ?? '';
    if (segment.startsWith(':')) {
      const value = decode(actual);
      if (value === null || value === '') return null;
      params[segment.slice(1)] = value;
    } else if (segment !== actual) {
      return null;
    }
  }
  return params;
}

function split(path: string): string[] {
  return path.replace(/^\/+|\/+$/g, '').split('/');
}

function decode(segment: string): string | null {
  try {
    return decodeURIComponent(segment);
  } catch {
    return null; // A lone percent sign.
  }
}
