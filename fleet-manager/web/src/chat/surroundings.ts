// What the chat client needs of the browser, so that its tests can be their own browser.

/** The part of a WebSocket that is used. */
export interface Socket {
  onopen: (() => void) | null;
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  onclose: ((event: { readonly code: number; readonly reason: string }) => void) | null;
  send(text: string): void;
  close(code?: number): void;
}

export interface Surroundings {
  open(url: string, subprotocol: string): Socket;
  /** Milliseconds since the Unix epoch: unlike the monotonic clock it goes on while the machine sleeps. */
  now(): number;
  /** In [0, 1). */
  random(): number;
  /** Calls `then` once, unless the returned function is called before. */
  after(ms: number, then: () => void): () => void;
  online(): boolean;
  hidden(): boolean;
  /** Calls back when the page is shown or hidden and when the network comes or goes, until it is told to stop. */
  watch(changed: () => void): () => void;
}

export const browser: Surroundings = {
  // Its handlers are given more than what is used here; the compiler takes that for another type.
  open: (url, subprotocol) => new WebSocket(url, subprotocol) as unknown as Socket,
  now: () => Date.now(),
  random: () => Math.random(),
  after: (ms, then) => {
    const timer = setTimeout(then, ms);
    return () => clearTimeout(timer);
  },
  online: () => navigator.onLine,
  hidden: () => document.hidden,
  watch: (changed) => {
    document.addEventListener('visibilitychange', changed);
    // A page that comes back from the browser's cache has lost its connection.
    for (const name of ['online', 'offline', 'pageshow']) window.addEventListener(name, changed);
    return () => {
      document.removeEventListener('visibilitychange', changed);
      for (const name of ['online', 'offline', 'pageshow']) window.removeEventListener(name, changed);
    };
  },
};

/** Where the chat is: beside the page, encrypted if the page is. */
export function chatUrl(page: { readonly protocol: string; readonly host: string } = location): string {
  return `${page.protocol === 'https:' ? 'wss:' : 'ws:'}//${page.host}/chat/ws`;
}
