// Something fetched from a server: loading, value and error in one place, changed in between by what is heard meanwhile.

/** Between two fetches that live changes ask for: a busy fleet changes many times a second. */
const REFRESH_MS = 2_000;

export class Resource<T> {
  value = $state.raw<T | null>(null);
  /** Of the last fetch; the value, if there is one, is an older one then. */
  error = $state.raw<unknown>(null);
  loading = $state(false);

  private running: AbortController | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private fetchedAt = 0;
  private stale = false;

  constructor(private readonly fetcher: (signal: AbortSignal) => Promise<T>) {}

  /** Fetches now; what is on its way is forgotten. */
  async load(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.running?.abort();
    const controller = new AbortController();
    this.running = controller;
    this.loading = true;
    this.stale = false;
    try {
      const value = await this.fetcher(controller.signal);
      if (this.running !== controller) return;
      this.value = value;
      this.error = null;
    } catch (error) {
      if (this.running !== controller || controller.signal.aborted) return;
      this.error = error;
    } finally {
      if (this.running === controller) {
        this.running = null;
        this.loading = false;
        this.fetchedAt = performance.now();
        if (this.stale) this.refresh();
      }
    }
  }

  /** Fetches soon: changes that come together are fetched together. */
  refresh(): void {
    if (this.running !== null) this.stale = true;
    if (this.running !== null || this.timer !== undefined) return;
    const wait = Math.max(0, this.fetchedAt + REFRESH_MS - performance.now());
    this.timer = setTimeout(() => void this.load(), wait);
  }

  /** Changes what is shown, without asking the server. */
  change(changer: (value: T) => T): void {
    if (this.value !== null) this.value = changer(this.value);
  }

  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.running?.abort();
    this.running = null;
  }
}
