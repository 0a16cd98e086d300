// The address bar: where we are, going elsewhere without loading the page anew, and filters kept in the query.

import { SvelteURLSearchParams } from 'svelte/reactivity';

/** How long a page may take to become as long as it was, for going back to where one had scrolled to. */
const RESTORE_MS = 1_500;

interface HistoryEntry {
  readonly scroll?: number;
}

class Router {
  path = $state(location.pathname);
  readonly query = new SvelteURLSearchParams(location.search);
  /** Rises with each visit, so that the page takes the focus; not with a changed query. */
  visit = $state(0);
  private restore: number | null = null;
  private leaveGuards = new Set<() => string | null>();

  constructor() {
    history.scrollRestoration = 'manual';
    window.addEventListener('popstate', (event) => {
      this.restore = (event.state as HistoryEntry | null)?.scroll ?? 0;
      this.read();
    });
    window.addEventListener('beforeunload', (event) => {
      if ([...this.leaveGuards].some((guard) => guard() !== null)) event.preventDefault();
    });
    document.addEventListener('click', (event) => this.follow(event));
  }

  go(href: string, { replace = false } = {}): void {
    const url = new URL(href, location.href);
    if (url.pathname !== this.path && !this.mayLeave()) return;
    history.replaceState({ scroll: window.scrollY } satisfies HistoryEntry, '');
    if (replace) history.replaceState({}, '', url);
    else history.pushState({}, '', url);
    this.restore = 0;
    this.read();
  }

  /** Changes the query in place: a filter is no step of its own in the history. Null and '' take a parameter out. */
  setQuery(changes: Readonly<Record<string, string | null>>): void {
    for (const [name, value] of Object.entries(changes)) {
      if (value === null || value === '') this.query.delete(name);
      else this.query.set(name, value);
    }
    const text = this.query.toString();
    history.replaceState(history.state, '', `${this.path}${text === '' ? '' : `?${text}`}`);
  }

  /** `guard` says what would be lost, or null. Returns what takes the guard away. */
  guard(guard: () => string | null): () => void {
    this.leaveGuards.add(guard);
    return () => this.leaveGuards.delete(guard);
  }

  /** Called once the page is on the screen: scrolls to where the visitor was, or to the top. */
  settle(): void {
    const target = this.restore;
    this.restore = null;
    if (target === null) return;
    const deadline = performance.now() + RESTORE_MS;
    const step = () => {
      window.scrollTo(0, target);
      // A list is still loading: the page is not yet long enough.
      if (Math.abs(window.scrollY - target) > 2 && performance.now() < deadline) requestAnimationFrame(step);
    };
    step();
  }

  private mayLeave(): boolean {
    for (const guard of this.leaveGuards) {
      const lost = guard();
      if (lost !== null && !window.confirm(lost)) return false;
    }
    return true;
  }

  private read(): void {
    const changed = this.path !== location.pathname;
    this.path = location.pathname;
    const query = new URLSearchParams(location.search);
    for (const name of [...this.query.keys()]) if (!query.has(name)) this.query.delete(name);
    for (const [name, value] of query) if (this.query.get(name) !== value) this.query.set(name, value);
    if (changed) this.visit += 1;
    else this.settle();
  }

  /** Takes a click on a link of ours; the browser has all others: new tabs, downloads, the API, the watch page. */
  private follow(event: MouseEvent): void {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (
      link === null ||
      link.target !== '' ||
      link.hasAttribute('download') ||
      link.origin !== location.origin
    )
      return;
    if (link.pathname.startsWith('/api/') || link.getAttribute('href')?.startsWith('#') === true) return;
    event.preventDefault();
    this.go(link.href);
  }
}

export const router = new Router();
