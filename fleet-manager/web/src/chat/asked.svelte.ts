// A list that is asked of the chat service: on its way, here, or refused.

export class Asked<T> {
  value = $state.raw<T | null>(null);
  error = $state<string | null>(null);
  busy = $state(false);
  #epoch = 0;

  constructor(private readonly ask: () => Promise<T>) {}

  async load(): Promise<void> {
    this.#epoch += 1;
    const epoch = this.#epoch;
    this.busy = true;
    this.error = null;
    try {
      const value = await this.ask();
      if (epoch === this.#epoch) this.value = value;
    } catch (error) {
      if (epoch === this.#epoch) this.error = error instanceof Error ? error.message : String(error);
    } finally {
      if (epoch === this.#epoch) this.busy = false;
    }
  }
}
