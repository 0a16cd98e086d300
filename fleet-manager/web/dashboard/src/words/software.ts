// Updates and rollouts in words: what a state means, why it is so, and what to do next.

import type {
  RolloutBoxState,
  RolloutPlan,
  RolloutState,
  RolloutTotals,
  RolloutView,
  UpdateState,
  UpdateView,
} from '../api/software';
import { duration } from '../format/time';
import { count, plural } from '../format/units';
import type { Status } from '../ui/tone';
import { sentence } from './warnings';

export const boxes = (number: number) => plural(number, 'box', 'boxes');

const BOX_STATES: Readonly<Record<RolloutBoxState, Status>> = {
  pending: { tone: 'neutral', text: 'Not yet', icon: 'waiting' },
  ordered: { tone: 'busy', text: 'Ordered', icon: 'waiting' },
  waiting: { tone: 'busy', text: 'Waiting', icon: 'waiting' },
  downloading: { tone: 'busy', text: 'Downloading', icon: 'download' },
  installing: { tone: 'busy', text: 'Installing', icon: 'software' },
  rebooting: { tone: 'busy', text: 'Rebooting', icon: 'power' },
  trial: { tone: 'busy', text: 'On trial', icon: 'test' },
  confirmed: { tone: 'good', text: 'Confirmed' },
  rolled_back: { tone: 'critical', text: 'Rolled back', icon: 'undo' },
  failed: { tone: 'critical', text: 'Failed' },
  expired: { tone: 'warning', text: 'Expired', icon: 'clock' },
  withdrawn: { tone: 'neutral', text: 'Withdrawn', icon: 'close' },
  silent: { tone: 'critical', text: 'Silent', icon: 'offline' },
  excluded: { tone: 'neutral', text: 'Left out', icon: 'minus' },
};

export function updateStatus(state: RolloutBoxState): Status {
  // A newer server may know more states.
  return BOX_STATES[state] ?? { tone: 'neutral', text: String(state).replaceAll('_', ' ') };
}

/** What the box does in this state, for those who meet it the first time. */
const MEANINGS: Readonly<Record<RolloutBoxState, string>> = {
  pending: 'Its turn has not come.',
  ordered: 'The box has not answered yet.',
  waiting: 'It waits for a quiet moment or its maintenance window.',
  downloading: 'It fetches the bundle, or has it and waits for a quiet moment.',
  installing: 'It writes the other slot; the one that runs is not touched.',
  rebooting: 'It starts into the new slot.',
  trial: 'The new slot runs and has to prove that it streams before it stays.',
  confirmed: 'The new software has passed its trial and stays.',
  rolled_back: 'The new software did not pass its trial; the box is back on the old one.',
  failed: 'It ended before the new slot was started; the box runs what it ran.',
  expired: 'The box did not begin in time; it runs what it ran.',
  withdrawn: 'Taken back before it was installed.',
  silent: 'The box has said nothing for longer than this may take; it counts as failed until it does.',
  excluded: 'The rollout does not touch it.',
};

export function updateMeaning(state: RolloutBoxState): string {
  return MEANINGS[state] ?? '';
}

const FINAL: readonly UpdateState[] = [
  'confirmed',
  'rolled_back',
  'failed',
  'expired',
  'withdrawn',
  'silent',
];

export function isOver(state: UpdateState): boolean {
  return FINAL.includes(state);
}

/** A box that has begun to install does not stop any more. */
export function canWithdraw(state: UpdateState): boolean {
  return state === 'ordered' || state === 'waiting' || state === 'downloading';
}

const RUNNING: readonly RolloutBoxState[] = ['downloading', 'installing', 'rebooting', 'trial'];

/** Whether something moves, so that its progress is worth a bar. */
export function isRunning(state: RolloutBoxState): boolean {
  return RUNNING.includes(state);
}

const ROLLOUT_STATES: Readonly<Record<RolloutState, Status>> = {
  draft: { tone: 'neutral', text: 'Draft', icon: 'edit' },
  running: { tone: 'busy', text: 'Running', icon: 'play' },
  halted: { tone: 'critical', text: 'Halted' },
  gated: { tone: 'warning', text: 'Waits for you', icon: 'gate' },
  paused: { tone: 'warning', text: 'Paused', icon: 'pause' },
  done: { tone: 'good', text: 'Done' },
  aborted: { tone: 'neutral', text: 'Aborted', icon: 'close' },
};

export function rolloutStatus(state: RolloutState): Status {
  return ROLLOUT_STATES[state] ?? { tone: 'neutral', text: String(state) };
}

export function isOpen(state: RolloutState): boolean {
  return state !== 'done' && state !== 'aborted';
}

/** Somebody has to do something, or nothing goes on. */
export const STANDING_STILL: readonly RolloutState[] = ['halted', 'gated'];

const ORDER: readonly RolloutState[] = ['halted', 'gated', 'running', 'paused', 'draft', 'done', 'aborted'];

/** What wants somebody first, then what runs, then the newest. */
export function byUrgency(a: RolloutView, b: RolloutView): number {
  return ORDER.indexOf(a.state) - ORDER.indexOf(b.state) || b.created_ms - a.created_ms;
}

export interface Said {
  /** How it stands, with the reason. */
  readonly now: string;
  /** What happens next, or what to do. */
  readonly next: string;
}

type Standing = Pick<
  RolloutView,
  'state' | 'reason' | 'stage' | 'stages_view' | 'totals' | 'gate' | 'soak_s' | 'soak_until_ms'
>;

export function rolloutWords(rollout: Standing, nowMs: number): Said {
  const { totals, stages_view: stages } = rollout;
  const stage = stages[rollout.stage];
  const where = stage === undefined ? '' : `${stageName(stage.name, rollout.stage)}: `;
  const because = rollout.reason === '' ? '' : sentence(rollout.reason);
  switch (rollout.state) {
    case 'draft':
      return {
        now: 'Nothing has begun.',
        next: 'Start it when you are ready.',
      };
    case 'running':
      return {
        now: `${where}${count(stage?.updated ?? totals.confirmed)} of ${boxes(stage?.target ?? totals.boxes)} confirmed${
          (stage?.running ?? 0) > 0 ? `, ${count(stage?.running)} at work` : ''
        }.${because === '' ? '' : ` ${because}`}`,
        next: nextOf(rollout, nowMs),
      };
    case 'halted':
      return {
        now: because === '' ? 'Too many boxes failed.' : because,
        next: 'No other box begins to install. Look at what failed; then resume, with or without another try, or abort.',
      };
    case 'gated':
      return {
        now: `${where}${count(stage?.updated ?? totals.confirmed)} of ${boxes(stage?.target ?? totals.boxes)} confirmed. It waits for somebody to continue.`,
        next: 'Look whether the boxes do well, then continue.',
      };
    case 'paused':
      return {
        now: because === '' ? 'Somebody paused it.' : because,
        next: 'No other box begins to install; those that had begun go on. Resume when you are ready.',
      };
    case 'done':
      return {
        now:
          because === ''
            ? `${count(totals.confirmed)} of ${boxes(totals.boxes)} run the new version.`
            : because,
        next: 'Nothing is left to do.',
      };
    case 'aborted':
      return {
        now: because === '' ? 'Somebody ended it.' : because,
        next: `${boxes(totals.confirmed)} ${totals.confirmed === 1 ? 'keeps' : 'keep'} the new version${
          totals.running > 0
            ? `, ${count(totals.running)} still ${totals.running === 1 ? 'goes' : 'go'} on to the end`
            : ''
        }; the others keep the old one.`,
      };
  }
}

function nextOf(rollout: Standing, nowMs: number): string {
  const { soak_until_ms: until } = rollout;
  const place = rollout.stages_view.findIndex(({ target }, index) => index > rollout.stage && target > 0);
  const after = rollout.stages_view[place];
  if (after === undefined) return 'This is the last stage.';
  const name = stageName(after.name, place).toLowerCase();
  if (until !== null && until > nowMs) {
    return `The stage is done and is watched for another ${duration(until - nowMs)}; then ${
      rollout.gate === 'manual' ? 'it waits for you' : `${name} (${boxes(after.target)} more)`
    }.`;
  }
  const soak =
    rollout.soak_s > 0
      ? ` once these have done well for ${span(rollout.soak_s)}`
      : ' once these are confirmed';
  return rollout.gate === 'manual'
    ? `Then it waits for you${soak}, before ${name} (${boxes(after.target)} more).`
    : `Then ${name} (${boxes(after.target)} more)${soak}.`;
}

/** The server says `canary` and `25 %`. */
export function stageName(name: string, index: number): string {
  if (name === '') return `Stage ${index + 1}`;
  if (/^canary$/i.test(name)) return 'Canary boxes';
  if (/^100 ?%$/.test(name)) return 'All boxes';
  return /^\d+ ?%$/.test(name) ? name.replace(/ ?%$/, ' % of the boxes') : name;
}

/** The same for a column. */
export function shortStage(name: string, index: number): string {
  if (/^canary$/i.test(name)) return 'Canary';
  return /^100 ?%$/.test(name) ? 'All' : name === '' ? String(index + 1) : name;
}

/** `10 min`, `1 h 30 min`; seconds only where there are some. */
export function span(seconds: number): string {
  const whole = duration(seconds * 1000);
  return whole
    .replace(/ 00 s$/, '')
    .replace(/ 00 min$/, '')
    .replace(/ 0 h$/, '');
}

/** What a segment of the bar is called. */
export const SEGMENTS = [
  { key: 'confirmed', label: 'Confirmed', tone: 'good' },
  { key: 'running', label: 'At work', tone: 'busy' },
  { key: 'failed', label: 'Failed', tone: 'critical' },
  { key: 'silent', label: 'Silent', tone: 'silent' },
  { key: 'waiting', label: 'Not yet', tone: 'rest' },
] as const;
export type Segment = (typeof SEGMENTS)[number]['key'];

export function segmentsOf(totals: RolloutTotals): Readonly<Record<Segment, number>> {
  return {
    confirmed: totals.confirmed,
    running: totals.running,
    failed: totals.failed - totals.silent,
    silent: totals.silent,
    waiting: totals.waiting,
  };
}

/** `41 of 120 boxes confirmed, 3 at work, 1 failed, 75 not yet`. */
export function totalsWords(totals: RolloutTotals): string {
  const parts = segmentsOf(totals);
  const rest = SEGMENTS.filter(({ key }) => key !== 'confirmed' && parts[key] > 0).map(
    ({ key, label }) => `${count(parts[key])} ${label.toLowerCase()}`,
  );
  return [`${count(totals.confirmed)} of ${boxes(totals.boxes)} confirmed`, ...rest].join(', ');
}

/** How far a box is, in one line. */
export function updateLine(update: Pick<UpdateView, 'state' | 'progress' | 'message'>): string {
  return update.message === '' ? updateMeaning(update.state) : sentence(update.message);
}

// Planning

/** Ways to grow that people ask for. */
export const PACES = [
  { key: 'careful', label: 'Careful', stages: [1, 5, 25, 50, 100] },
  { key: 'usual', label: 'Usual', stages: [10, 50, 100] },
  { key: 'at_once', label: 'All after the canaries', stages: [100] },
] as const;

export type StagesRead = { ok: true; stages: number[] } | { ok: false; reason: string };

/** More steps than anybody waits for. */
export const MOST_STAGES = 20;

/** `10, 50, 100 %` as numbers. */
export function readStages(text: string): StagesRead {
  const words = text.split(/[\s,;%]+/).filter((word) => word !== '');
  const stages = words.map(Number);
  if (stages.length === 0) return { ok: false, reason: 'At least one stage: 100 is all boxes.' };
  if (stages.length > MOST_STAGES) return { ok: false, reason: `At most ${MOST_STAGES} stages.` };
  if (stages.some((stage) => !Number.isInteger(stage) || stage < 1 || stage > 100))
    return { ok: false, reason: 'Whole numbers from 1 to 100, such as 10, 50, 100.' };
  if (stages.some((stage, index) => index > 0 && stage <= (stages[index - 1] ?? 0)))
    return { ok: false, reason: 'Each stage has to be greater than the one before.' };
  if (stages.at(-1) !== 100) return { ok: false, reason: 'The last stage has to be 100: all boxes.' };
  return { ok: true, stages };
}

/** Boxes of a stage of so many percent: never none. */
export function stageBoxes(percent: number, total: number): number {
  return Math.min(total, Math.ceil((percent * total) / 100));
}

export interface PlanNumbers {
  /** Boxes that it covers. */
  readonly total: number;
  /** Of these, those that are not connected just now. */
  readonly offline?: number;
  /** Of these, those that run the version already. */
  readonly already: number;
  readonly version: string;
  readonly canaries: readonly string[];
}

/** What will happen, one sentence each, before it begins. */
export function planWords(
  plan: Pick<RolloutPlan, 'stages' | 'max_failures' | 'success_percent' | 'gate' | 'soak_s' | 'force'>,
  { total, offline = 0, already, version, canaries }: PlanNumbers,
): readonly string[] {
  const lines = [
    `${boxes(total)} ${total === 1 ? 'gets' : 'get'} version ${version}.${
      already > 0 ? ` ${count(already)} of them ${already === 1 ? 'runs' : 'run'} it already.` : ''
    }`,
  ];
  const steps = plan.stages
    .map((stage) =>
      stage === 100 ? `all ${count(total)}` : `${stage} % (${count(stageBoxes(stage, total))})`,
    )
    .join(', then ');
  if (canaries.length > 0) {
    const names =
      canaries.length > 3
        ? `${canaries.slice(0, 2).join(', ')} and ${canaries.length - 2} others`
        : canaries.join(', ');
    lines.push(`First ${names}. After ${canaries.length === 1 ? 'it' : 'them'} ${steps}.`);
  } else {
    lines.push(`There is no canary: it begins with ${steps}.`);
  }
  if (canaries.length > 0 || plan.stages.length > 1) lines.push(between(plan));
  lines.push(
    firstFailureHalts(plan)
      ? 'The first box that fails, rolls back or goes silent halts it.'
      : `It halts once more than ${boxes(plan.max_failures)} ${
          plan.max_failures === 1 ? 'has' : 'have'
        } failed, rolled back or gone silent, or so many that ${plan.success_percent} % cannot be confirmed any more.`,
  );
  lines.push(
    plan.force
      ? 'Live streams are interrupted, and maintenance windows do not count.'
      : 'Each box waits until nothing is live on it and it is in its maintenance window.',
  );
  if (offline > 0) {
    lines.push(
      `${boxes(offline)} ${offline === 1 ? 'is' : 'are'} offline just now. One that stays away counts as failed when its turn comes.`,
    );
  }
  return lines;
}

/** Where every box has to be confirmed no failure is put up with. */
export function firstFailureHalts(plan: Pick<RolloutPlan, 'max_failures' | 'success_percent'>): boolean {
  return plan.max_failures === 0 || plan.success_percent === 100;
}

/** What opens the way from one stage to the next. */
function between(plan: Pick<RolloutPlan, 'success_percent' | 'gate' | 'soak_s'>): string {
  const enough =
    plan.success_percent === 100 ? 'Once every box' : `Once ${plan.success_percent} % of the boxes`;
  const soak = plan.soak_s > 0 ? ` and ${span(plan.soak_s)} have passed` : '';
  return `${enough} of a stage ${plan.success_percent === 100 ? 'has' : 'have'} confirmed it${soak}, ${
    plan.gate === 'manual' ? 'it waits until somebody continues.' : 'the next stage begins by itself.'
  }`;
}
