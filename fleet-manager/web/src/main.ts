// The watch page, /watch/<channel>.

import { channelOf } from './address';
import { exposeDiagnostics } from './diagnostics';
import { buildEmptyPage, Page } from './view/page';

const app = document.getElementById('app');
if (app !== null) {
  const channel = channelOf(location.pathname);
  if (channel === null) {
    buildEmptyPage(app);
  } else {
    // `?native`: for support, to tell the browser's own HLS from hls.js.
    const page = new Page(app, channel, new URLSearchParams(location.search).has('native'));
    exposeDiagnostics(page.player);
  }
}
