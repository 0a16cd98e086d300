export { default } from './dashboard/svelte.config.js';
