// Ends a stream, once asked.

import { api } from '../../api/client';
import type { SessionView } from '../../api/types';
import { ask } from '../../ui/ask.svelte';
import { toasts } from '../../ui/toasts.svelte';

export function endStream(stream: SessionView): Promise<boolean> {
  return ask({
    title: `End the stream of ${stream.channel_name}?`,
    consequences: [
      'The encoder is disconnected and told the reason; viewers see that the stream has ended.',
      'Most encoders try again at once, and may. To keep the streamer out, suspend the channel or revoke the key.',
    ],
    confirm: 'End stream',
    danger: true,
    input: { label: 'Reason', hint: 'The encoder shows it to the streamer', required: true, maxLength: 200 },
    run: async (reason) => {
      await api.post(`/sessions/${encodeURIComponent(stream.session)}/end`, { reason });
      toasts.done(`The stream of ${stream.channel_name} is being ended.`);
    },
  });
}
