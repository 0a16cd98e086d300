// A message's text, cut where it is more than text. Only what the service marked becomes a link or an emote, and only after
// a look at where it leads: a service that was taken over must not run anything in a viewer's browser.

import type { Mark, Message } from './protocol';

export type Part =
  | { readonly is: 'text'; readonly text: string }
  | { readonly is: 'emote'; readonly text: string; readonly name: string; readonly url: string }
  | { readonly is: 'mention'; readonly text: string; readonly user: string }
  | { readonly is: 'link'; readonly text: string; readonly url: string };

/** `origin`: the page's own, from where emotes may come. */
export function partsOf({ text, marks = [] }: Pick<Message, 'text' | 'marks'>, origin: string): Part[] {
  const parts: Part[] = [];
  let at = 0;
  const plain = (to: number) => {
    if (to > at) parts.push({ is: 'text', text: text.slice(at, to) });
    at = to;
  };
  for (const mark of marks) {
    const to = mark.from + mark.len;
    if (!(mark.from >= at && mark.len > 0 && to <= text.length)) continue;
    const part = partOf(mark, text.slice(mark.from, to), origin);
    if (part === null) continue;
    plain(mark.from);
    parts.push(part);
    at = to;
  }
  plain(text.length);
  return parts;
}

function partOf(mark: Mark, text: string, origin: string): Part | null {
  switch (mark.is) {
    case 'emote': {
      const url = emoteUrl(mark.url, origin);
      return url === null ? null : { is: 'emote', text, name: mark.name, url };
    }
    case 'mention':
      return { is: 'mention', text, user: mark.user };
    case 'link': {
      const url = linkUrl(mark.url, text);
      return url === null ? null : { is: 'link', text, url };
    }
    default:
      return null; // Of a later service.
  }
}

/** An image of the page's own origin, or nothing. */
export function emoteUrl(url: string, origin: string): string | null {
  const parsed = parse(url, origin);
  return parsed !== null && parsed.origin === origin && isWeb(parsed)
    ? parsed.pathname + parsed.search
    : null;
}

/** Where a link leads, if that is the web, and the place that its words name. */
export function linkUrl(url: string, words: string): string | null {
  const parsed = parse(url);
  if (parsed === null || !isWeb(parsed) || parsed.username !== '' || parsed.password !== '') return null;
  const named = parse(words) ?? parse(`https://${words}`);
  return named !== null && named.host === parsed.host ? parsed.href : null;
}

function isWeb({ protocol }: URL): boolean {
  return protocol === 'https:' || protocol === 'http:';
}

function parse(url: string, base?: string): URL | null {
  try {
    return new URL(url, base);
  } catch {
    return null;
  }
}

const SEGMENTER =
  typeof Intl.Segmenter === 'function' ? new Intl.Segmenter('en', { granularity: 'grapheme' }) : null;

/** Characters as people count them: a flag or a family is one. */
export function graphemes(text: string): number {
  let count = 0;
  for (const _ of SEGMENTER?.segment(text) ?? text) count += 1;
  return count;
}

/** The first `most` of them. */
export function cut(text: string, most: number): string {
  if (text.length <= most) return text;
  let count = 0;
  let end = 0;
  for (const piece of SEGMENTER?.segment(text) ?? text) {
    if (count === most) return `${text.slice(0, end)}…`;
    count += 1;
    end += typeof piece === 'string' ? piece.length : piece.segment.length;
  }
  return text;
}

export function utf8Length(text: string): number {
  return new TextEncoder().encode(text).length;
}
