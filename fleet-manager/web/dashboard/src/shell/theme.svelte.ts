// Dark, light, or as the system has it. `theme.js` sets what was chosen before the first paint.

export type Theme = 'system' | 'light' | 'dark';

const KEY = 'nodi.theme';

class ThemeChoice {
  choice = $state<Theme>(read());

  set(choice: Theme): void {
    this.choice = choice;
    const root = document.documentElement;
    if (choice === 'system') delete root.dataset['theme'];
    else root.dataset['theme'] = choice;
    try {
      if (choice === 'system') localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, choice);
    } catch {
      // Storage is switched off: the choice holds for this page.
    }
    // For what is drawn on a canvas.
    window.dispatchEvent(new Event('themechange'));
  }
}

function read(): Theme {
  const chosen = document.documentElement.dataset['theme'];
  return chosen === 'dark' || chosen === 'light' ? chosen : 'system';
}

export const theme = new ThemeChoice();
