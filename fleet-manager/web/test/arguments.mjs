// Command lines of the harness: `--name value` and `--name`, nothing else.

/**
 * @param {string[]} argv
 * @param {Record<string, 'text' | 'number' | 'flag'>} known
 * @returns {Record<string, any>}
 */
export function parseArguments(argv, known) {
  const values = {};
  const rest = [...argv];
  while (rest.length > 0) {
    const word = rest.shift();
    const name = word.startsWith('--') ? word.slice(2) : '';
    const kind = known[name];
    if (kind === undefined)
      throw new Error(
        `unknown argument ${word}; known: ${Object.keys(known)
          .map((key) => `--${key}`)
          .join(' ')}`,
      );
    if (kind === 'flag') {
      values[name] = true;
      continue;
    }
    const value = rest.shift();
    if (value === undefined) throw new Error(`${word} needs a value`);
    values[name] = kind === 'number' ? Number(value) : value;
    if (kind === 'number' && !Number.isFinite(values[name]))
      throw new Error(`${word} needs a number, got ${value}`);
  }
  return values;
}
