// For whoever opens the site at a channel: the channel's state and its page's code are asked for at once, before the
// rest of the site is set up. Every round trip less is a round trip sooner that the video begins.

import { addressOf, channelOf } from './address';
import { foresee } from './status';

const channel = channelOf(location.pathname);
if (channel !== null) {
  foresee(addressOf(channel).status);
  // What goes wrong here goes wrong again where the page is wanted, and is dealt with there.
  import('./channel/ChannelPage.svelte').catch(() => {});
}
