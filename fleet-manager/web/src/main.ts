// The watch site.

import './early';

import { mount } from 'svelte';

import { wording } from '../dashboard/src/api/problem';
import '../dashboard/src/style/tokens.css';
import '../dashboard/src/style/base.css';
import '../dashboard/src/style/forms.css';
import App from './App.svelte';
import './site/site.css';

Object.assign(wording, {
  server: 'Nodi’s server',
  meanwhile: 'Streams that are playing play on.',
  signedOut: 'You are not signed in',
  forbidden: 'This is for the channel’s streamer.',
  conflict: 'That cannot be done as it is now',
});

const target = document.getElementById('app');
if (target !== null) mount(App, { target });
