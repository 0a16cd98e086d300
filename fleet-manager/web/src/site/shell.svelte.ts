// What a page may ask of what stands around it.

class ShellState {
  /** Hides the header: theatre mode. */
  bare = $state(false);
  /** Goes into the window's title; null: the page's own name. */
  title = $state<string | null>(null);
}

export const shell = new ShellState();
