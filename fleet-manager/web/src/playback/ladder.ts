// What a multivariant playlist offers, for noticing that the ladder has changed.

/** The renditions of a multivariant playlist, by name. */
export function playlistNames(multivariant: string): string[] {
  const lines = multivariant.split(/\r?\n/);
  return lines.flatMap((line, index) => {
    const uri = line.startsWith('#EXT-X-STREAM-INF:') ? lines[index + 1] : undefined;
    const stem = uri === undefined ? undefined : /([^/?#]+)\.m3u8/.exec(uri)?.[1];
    return stem === undefined ? [] : [stem];
  });
}
