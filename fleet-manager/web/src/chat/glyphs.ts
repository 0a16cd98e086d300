// Icons that only the chat has, on the grid of the others: 24 × 24, lines 1.8 wide.

export const GLYPHS = {
  reply: 'M9 6 4 11l5 5M4 11h9a7 7 0 0 1 7 7',
  smile: 'M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zM8.5 14a4.2 4.2 0 0 0 7 0M9 9.6v.3M15 9.6v.3',
  send: 'M4 12 20.5 4.5 15 20.5l-3.5-6.5zM11.5 14l9-9.5',
  shield: 'M12 3 5 5.8v5.6c0 4.4 2.9 7.8 7 9.6 4.1-1.8 7-5.2 7-9.6V5.8z',
  ban: 'M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zM6 6l12 12',
  sliders: 'M5 4v6M5 14v6M12 4v3M12 11v9M19 4v9M19 17v3M3 12h4M10 9h4M17 15h4',
  broom: 'M14 3.5 11.5 11M7 11.5l9 3-2.5 6c-3 0-6-1-8.5-3.5 1-1.8 1.6-3.6 2-5.5zM9.5 18l1-2.5',
  crown: 'M4 8l4 4 4-7 4 7 4-4-1.5 10h-13z',
  wrench:
    'M20 7.5a4.5 4.5 0 0 1-6.2 4.9L7 19.2a1.7 1.7 0 0 1-2.4-2.4l6.8-6.8A4.5 4.5 0 0 1 16.5 4l-2.3 2.5 3 3z',
  star: 'M12 3.8l2.5 5.3 5.7.8-4.1 4.1 1 5.8-5.1-2.8L6.9 19.8l1-5.8-4.1-4.1 5.7-.8z',
  bot: 'M5 9h14v10H5zM12 5.5V9M9 13.5v1M15 13.5v1M12 5.5v-.1',
} as const;

export type GlyphName = keyof typeof GLYPHS;
