// Reads a stream of server-sent events (WHATWG HTML 9.2.6). Our own, since the browser's EventSource gives up for good on
// an answer like 503, and does not say whether it was 401.

export interface ServerEvent {
  readonly type: string;
  readonly data: string;
}

export class Parser {
  /** Of the last event that had one: where to resume. */
  lastId = '';
  private line = '';
  private type = '';
  private data: string[] = [];
  private afterReturn = false;

  /** The events that `text` completes. */
  push(text: string): ServerEvent[] {
    const events: ServerEvent[] = [];
    let rest = text;
    if (this.afterReturn && rest.startsWith('\n')) rest = rest.slice(1);
    if (rest !== '') this.afterReturn = rest.endsWith('\r');
    const lines = (this.line + rest).split(/\r\n|\n|\r/);
    this.line = lines.pop() ?? '';
    for (const line of lines) {
      const event = this.take(line);
      if (event !== null) events.push(event);
    }
    return events;
  }

  private take(line: string): ServerEvent | null {
    if (line === '') return this.dispatch();
    const colon = line.indexOf(':');
    if (colon === 0) return null; // A comment, which keeps the connection alive.
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (name === 'event') this.type = value;
    else if (name === 'data') this.data.push(value);
    else if (name === 'id' && !value.includes('\0')) this.lastId = value;
    return null;
  }

  private dispatch(): ServerEvent | null {
    const { type, data } = this;
    this.type = '';
    this.data = [];
    return data.length === 0 ? null : { type: type === '' ? 'message' : type, data: data.join('\n') };
  }
}
