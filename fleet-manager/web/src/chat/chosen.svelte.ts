// The viewer's preferences as the panel reads them: whoever reads `chosen.now` is drawn anew when they change.

import { loadPreferences, savePreferences, type ChatPreferences } from './preferences';

class Chosen {
  now = $state.raw<ChatPreferences>(loadPreferences());

  set(change: Partial<ChatPreferences>): void {
    this.now = { ...this.now, ...change };
    savePreferences(this.now);
  }
}

export const chosen = new Chosen();
