// A rollout while somebody plans it: as typed, with what follows from it.

import type { BundleView, Gate, RolloutPlan } from '../../api/software';
import type { Picked } from '../../software/boxes';
import { PACES, readStages } from '../../words/software';

/** As the boxes have them where a rollout does not say otherwise. */
export const DEADLINES = {
  begin_s: 86_400,
  download_s: 21_600,
  install_s: 1_800,
  reboot_s: 600,
  trial_s: 300,
} as const;
type Step = keyof typeof DEADLINES;

/** Fewer boxes than this need no steps between the canaries and the others. */
const FEW = 5;

/** What is wrong with a field, once it is time to say so. */
export type ProblemOf = (field: string) => string | null;

export class Plan {
  /** Null: named after the version. */
  typedName = $state<string | null>(null);
  bundle = $state.raw<BundleView | null>(null);
  /** Null: every box that the bundle fits. */
  only = $state.raw<readonly Picked[] | null>(null);
  canary = $state.raw<readonly Picked[]>([]);
  /** By somebody: nothing is suggested any more. */
  canaryChosen = $state(false);
  /** Null: what is usual for so many boxes. */
  typedStages = $state<string | null>(null);
  total = $state(0);
  maxFailures = $state('0');
  success = $state('100');
  gate = $state<Gate>('automatic');
  soak = $state('600');
  force = $state(false);
  /** In minutes. */
  deadlines = $state(
    Object.fromEntries(Object.entries(DEADLINES).map(([name, s]) => [name, String(s / 60)])) as Record<
      Step,
      string
    >,
  );

  get name(): string {
    return this.typedName ?? (this.bundle === null ? '' : `Version ${this.bundle.version}`);
  }

  get stagesText(): string {
    return this.typedStages ?? usualStages(this.total).join(', ');
  }

  choose(bundle: BundleView | null): void {
    this.bundle = bundle;
    // Other boards, other boxes.
    this.only = null;
    this.canary = [];
    this.canaryChosen = false;
  }

  pickOnly(picked: readonly Picked[]): void {
    this.only = picked;
    this.canary = this.canary.filter(({ id }) => picked.some((box) => box.id === id));
  }

  pickCanary(picked: readonly Picked[]): void {
    this.canary = picked;
    this.canaryChosen = true;
    // Canaries are boxes of the rollout.
    const others = this.only?.filter(({ id }) => !picked.some((box) => box.id === id));
    if (others !== undefined) this.only = [...picked, ...others];
  }

  /** What is wrong, by field. */
  readonly problems: Readonly<Record<string, string>> = $derived.by(() => {
    const problems: Record<string, string> = {};
    if (this.name.trim() === '') problems['name'] = 'A name, by which others find it.';
    const stages = readStages(this.stagesText);
    if (!stages.ok) problems['stages'] = stages.reason;
    if (!whole(this.maxFailures, 0, 100_000)) problems['max_failures'] = 'A whole number, 0 or more.';
    if (!whole(this.success, 1, 100)) problems['success_percent'] = 'From 1 to 100.';
    if (this.only !== null && this.only.length === 0) problems['boxes'] = 'Choose at least one box.';
    for (const [name, minutes] of Object.entries(this.deadlines)) {
      if (!(Number(minutes) >= 1)) problems[`deadlines.${name}`] = 'One minute or more.';
    }
    return problems;
  });

  read(bundle: BundleView): RolloutPlan {
    const stages = readStages(this.stagesText);
    const { begin_s, ...deadlines } = Object.fromEntries(
      Object.entries(this.deadlines).map(([name, minutes]) => [name, Math.round(Number(minutes) * 60)]),
    ) as Record<Step, number>;
    const usual = JSON.stringify({ begin_s, ...deadlines }) === JSON.stringify(DEADLINES);
    return {
      name: this.name.trim(),
      bundle: bundle.sha256,
      canary: this.canary.map(({ id }) => id),
      stages: stages.ok ? stages.stages : [100],
      max_failures: Number(this.maxFailures) || 0,
      success_percent: Number(this.success) || 100,
      gate: this.gate,
      soak_s: Number(this.soak),
      force: this.force,
      ...(usual ? {} : { deadlines, begin_s }),
      ...(this.only === null ? {} : { boxes: this.only.map(({ id }) => id) }),
    };
  }
}

export function usualStages(total: number): readonly number[] {
  return (PACES.find(({ key }) => key === (total < FEW ? 'at_once' : 'usual')) ?? PACES[1]).stages;
}

function whole(text: string, least: number, most: number): boolean {
  const value = Number(text.trim());
  return text.trim() !== '' && Number.isInteger(value) && value >= least && value <= most;
}
