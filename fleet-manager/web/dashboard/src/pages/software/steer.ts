// What can be done with a rollout: what it is called, what follows from it, and doing it.

import { api } from '../../api/client';
import type { RolloutState, RolloutView } from '../../api/software';
import type { IconName } from '../../ui/icons';
import { ask } from '../../ui/ask.svelte';
import { toasts } from '../../ui/toasts.svelte';
import { boxes, planWords, type PlanNumbers } from '../../words/software';

export type Steer = 'start' | 'continue' | 'resume' | 'pause' | 'abort';

export interface Offer {
  readonly key: Steer;
  readonly label: string;
  readonly icon: IconName;
  /** What is most likely wanted. */
  readonly primary?: boolean;
  readonly danger?: boolean;
}

const ABORT: Offer = { key: 'abort', label: 'Abort…', icon: 'stop', danger: true };

export function offersOf(state: RolloutState): readonly Offer[] {
  switch (state) {
    case 'draft':
      return [
        { ...ABORT, label: 'Discard…' },
        { key: 'start', label: 'Start…', icon: 'play', primary: true },
      ];
    case 'running':
      return [ABORT, { key: 'pause', label: 'Pause…', icon: 'pause', primary: true }];
    case 'gated':
      return [
        ABORT,
        { key: 'pause', label: 'Pause…', icon: 'pause' },
        { key: 'continue', label: 'Continue…', icon: 'play', primary: true },
      ];
    case 'paused':
      return [ABORT, { key: 'resume', label: 'Resume…', icon: 'play', primary: true }];
    case 'halted':
      return [ABORT, { key: 'resume', label: 'Resume…', icon: 'play', primary: true }];
    case 'done':
    case 'aborted':
      return [];
  }
}

/** Asks once, does it, and says that it is done. Resuming after a halt has a dialog of its own. */
export function steer(
  key: Steer,
  rollout: RolloutView,
  planned: PlanNumbers,
  changed: (now: RolloutView) => void,
): void {
  const { totals, name } = rollout;
  const post = async (path: string, done: string, body: object = {}) => {
    const now = await api.post<RolloutView>(`/rollouts/${rollout.id}/${path}`, body);
    toasts.done(done);
    changed(now);
  };
  const next = rollout.stages_view.find(({ target }, index) => index > rollout.stage && target > 0);
  switch (key) {
    case 'start':
      void ask({
        title: `Start ${name}?`,
        consequences: planWords(rollout, planned),
        confirm: 'Start the rollout',
        danger: rollout.force,
        run: () => post('start', `${name} has begun.`),
      });
      return;
    case 'pause':
      void ask({
        title: `Pause ${name}?`,
        consequences: [
          'No other box begins until somebody resumes it.',
          ...(totals.running > 0
            ? ['Boxes that have not begun to install wait until then; those that have go on to the end.']
            : []),
        ],
        confirm: 'Pause',
        run: () => post('pause', `${name} is paused.`),
      });
      return;
    case 'continue':
      void ask({
        title: `Continue ${name}?`,
        consequences: [
          next === undefined
            ? 'It goes on to the end.'
            : `The next stage begins: ${boxes(next.target)} more.`,
          'Have a look first whether those that run the new version do well.',
        ],
        confirm: 'Begin the next stage',
        run: () => post('continue', `${name} goes on.`),
      });
      return;
    case 'resume':
      void ask({
        title: `Resume ${name}?`,
        consequences: ['It goes on where it was.'],
        confirm: 'Resume',
        run: () => post('resume', `${name} goes on.`, { acknowledge: [] }),
      });
      return;
    case 'abort':
      void ask({
        title: rollout.state === 'draft' ? `Discard ${name}?` : `Abort ${name}?`,
        consequences:
          rollout.state === 'draft'
            ? ['It never begins. It stays in the list.']
            : [
                'No other box begins, and this rollout cannot be resumed.',
                ...(totals.running > 0
                  ? ['Boxes that have not begun to install stop; those that have go on to the end.']
                  : []),
                `${boxes(totals.confirmed)} ${totals.confirmed === 1 ? 'keeps' : 'keep'} version ${rollout.bundle.version}: to go back, roll out the older bundle.`,
              ],
        confirm: rollout.state === 'draft' ? 'Discard' : 'Abort the rollout',
        danger: true,
        run: () => post('abort', `${name} is ended.`),
      });
  }
}
