// What a multivariant playlist offers, for noticing that the ladder has changed.

const TIMEOUT_MS = 5_000;

/** The renditions of a multivariant playlist, by name. */
export function playlistNames(multivariant: string): string[] {
  const lines = multivariant.split(/\r?\n/);
  return lines.flatMap((line, index) => {
    const uri = line.startsWith('#EXT-X-STREAM-INF:') ? lines[index + 1] : undefined;
    const stem = uri === undefined ? undefined : /([^/?#]+)\.m3u8/.exec(uri)?.[1];
    return stem === undefined ? [] : [stem];
  });
}

/** The same of a playlist that is fetched; none when it cannot be had. */
export async function fetchNames(url: string): Promise<string[]> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS), cache: 'no-cache' });
    return response.ok ? playlistNames(await response.text()) : [];
  } catch {
    return [];
  }
}
