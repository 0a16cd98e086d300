// The control icons, drawn on a 24 × 24 grid.

const PATHS = {
  play: 'M8 5.5v13l11-6.500z',
  pause: 'M7 5h3.500v14H7zM13.5 5H17v14h-3.500z',
  sound:
    'M4 9.500v5h3.500L12 18.500v-13L7.5 9.500zM15 8.500a5 5 0 0 1 0 7l1.3 1.300a6.8 6.8 0 0 0 0-9.600zM17.6 5.900a8.6 8.6 0 0 1 0 12.200l1.3 1.300a10.4 10.4 0 0 0 0-14.800z',
  quiet: 'M4 9.500v5h3.500L12 18.500v-13L7.5 9.500zM15 8.500a5 5 0 0 1 0 7l1.3 1.300a6.8 6.8 0 0 0 0-9.600z',
  mute: 'M4 9.500v5h3.500L12 18.500v-13L7.5 9.500zM15.3 8.700l-1.2 1.2 2.1 2.1-2.1 2.1 1.2 1.2 2.1-2.1 2.1 2.1 1.2-1.2-2.1-2.1 2.1-2.1-1.2-1.2-2.1 2.100z',
  quality:
    'M10.3 3h3.400l.5 2.5 1.7 1 2.4-.8 1.7 2.9-1.9 1.700v2l1.9 1.7-1.7 2.9-2.4-.8-1.7 1-.5 2.500h-3.400l-.5-2.5-1.7-1-2.4.8L4 14l1.9-1.700v-2L4 8.600l1.7-2.9 2.4.8 1.7-1zM12 8.800a2.7 2.7 0 1 0 0 5.4 2.7 2.7 0 0 0 0-5.400z',
  expand: 'M4 4h6v2H6v4H4zM14 4h6v6h-2V6h-4zM4 14h2v4h4v2H4zM18 14h2v6h-6v-2h4z',
  shrink: 'M8 4h2v6H4V8h4zM14 4h2v4h4v2h-6zM4 14h6v6H8v-4H4zM14 14h6v2h-4v4h-2z',
  help: 'M12 3.500a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zm0 1.800a6.7 6.7 0 1 1 0 13.4 6.7 6.7 0 0 1 0-13.400zm0 2.200c-1.8 0-3 1.1-3.1 2.800h1.800c.1-.8.5-1.2 1.3-1.2.7 0 1.2.4 1.2 1.1 0 .6-.3.9-1 1.4-.9.6-1.2 1.2-1.1 2.200v.4h1.700v-.3c0-.6.2-.9 1-1.4.8-.5 1.3-1.2 1.3-2.3 0-1.7-1.2-2.7-3.1-2.700zm-.9 7.500v1.800h1.900V15z',
  float: 'M3 5h18v14H3zM5 7v10h14V7zM11.500 11.500h6.500v4.500h-6.500z',
  unfloat: 'M3 5h18v14H3zM5 7v10h14V7zM7 9h4.500v1.500h-2l3.500 3.500-1 1-3.500-3.500v2H7z',
  theatre: 'M2.500 6h19v12h-19zM4.500 8v8h15V8z',
  split: 'M2.500 6h19v12h-19zM4.500 8v8h9V8zM15.500 8v8h4V8z',
  chat: 'M4 4.500h16v12H10.500L6 20.500v-4H4zM6 6.500v8h2v1.700l1.700-1.700H18v-8z',
  silence:
    'M4 4.500h16v12H10.500L6 20.500v-4H4zM6 6.500v8h2v1.700l1.700-1.700H18v-8zM9 9.300l1-1 2 2 2-2 1 1-2 2 2 2-1 1-2-2-2 2-1-1 2-2z',
  check: 'M9.5 16.2 5.3 12l-1.4 1.4 5.6 5.600L20.6 7.900l-1.4-1.400z',
} as const;

export type IconName = keyof typeof PATHS;

const SVG = 'http://www.w3.org/2000/svg';

export function icon(name: IconName): SVGSVGElement {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  svg.setAttribute('class', 'icon');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', PATHS[name]);
  path.setAttribute('fill-rule', 'evenodd');
  svg.append(path);
  svg.dataset['name'] = name;
  return svg;
}

export function setIcon(button: HTMLElement, name: IconName): void {
  const old = button.querySelector('svg');
  if (old?.dataset['name'] === name) return;
  old?.replaceWith(icon(name));
}
