// What the REST API says about software: bundles, updates of boxes, rollouts (docs/interfaces.md, sections 13 and 14).

/** How far a box is with an update. */
export type UpdateState =
  /** The box has said nothing to it yet. */
  | 'ordered'
  | 'waiting'
  | 'downloading'
  | 'installing'
  | 'rebooting'
  | 'trial'
  | 'confirmed'
  | 'rolled_back'
  | 'failed'
  | 'expired'
  | 'withdrawn'
  /** The box said nothing when it should have; what it says later counts. */
  | 'silent';

/** In seconds. */
export interface Deadlines {
  readonly download_s: number;
  readonly install_s: number;
  readonly reboot_s: number;
  readonly trial_s: number;
}

export interface BundleView {
  readonly sha256: string;
  readonly version: string;
  /** Board and L4T release that it is for. */
  readonly compatible: string;
  readonly description: string;
  readonly build: string;
  readonly bytes: number;
  readonly added_ms: number;
  readonly added_by: string;
  /** How many boxes run it. */
  readonly boxes: number;
  /** How many rollouts name it. */
  readonly rollouts: number;
}

/** What runs where. */
export interface SoftwareRow {
  readonly version: string;
  /** Null: these boxes take no updates. */
  readonly compatible: string | null;
  readonly boxes: number;
  readonly online: number;
}

export interface UpdateView {
  readonly id: string;
  readonly box: string;
  readonly box_name: string;
  readonly rollout: string | null;
  readonly bundle: { readonly sha256: string; readonly version: string };
  readonly force: boolean;
  readonly state: UpdateState;
  /** 0 to 100 of this state, where it can be told. */
  readonly progress: number | null;
  readonly message: string;
  /** Version before; null until the box has said it. */
  readonly from: string | null;
  readonly to: string;
  /** That ran when the box last said something, such as `A`. */
  readonly slot: string | null;
  readonly issued_ms: number;
  readonly changed_ms: number;
  readonly deadline_ms: number | null;
  readonly issued_by: string;
}

export type RolloutState = 'draft' | 'running' | 'halted' | 'gated' | 'paused' | 'done' | 'aborted';
export type Gate = 'automatic' | 'manual';

export interface RolloutPlan {
  readonly name: string;
  /** SHA-256 of the bundle. */
  readonly bundle: string;
  readonly canary: readonly string[];
  /** Percent of all its boxes, rising. */
  readonly stages: readonly number[];
  readonly max_failures: number;
  readonly success_percent: number;
  readonly gate: Gate;
  readonly soak_s: number;
  readonly force: boolean;
  readonly deadlines?: Deadlines | null;
  /** A box that has not begun after so many seconds has failed. */
  readonly begin_s?: number;
  /** Only these; absent: every box that the bundle fits. */
  readonly boxes?: readonly string[] | null;
}

/** A stage, without the boxes of earlier ones. */
export interface StageView {
  /** `canary`, or its percentage such as `50 %`. */
  readonly name: string;
  /** How many boxes belong to it; a draft has none yet. */
  readonly target: number;
  readonly updated: number;
  readonly failed: number;
  readonly running: number;
  readonly waiting: number;
}

export interface RolloutTotals {
  /** Without those that are left out; 0 for a draft. */
  readonly boxes: number;
  readonly confirmed: number;
  readonly failed: number;
  /** Of those that failed. */
  readonly silent: number;
  readonly running: number;
  readonly waiting: number;
  readonly excluded: number;
}

export interface RolloutView extends Omit<RolloutPlan, 'bundle'> {
  readonly id: string;
  readonly bundle: { readonly sha256: string; readonly version: string };
  readonly compatible: string;
  readonly state: RolloutState;
  /** Why it is in that state; empty where that goes without saying. */
  readonly reason: string;
  /** Index into `stages_view`. */
  readonly stage: number;
  /** Until when a stage that is done is watched; null while none is. */
  readonly soak_until_ms: number | null;
  readonly stages_view: readonly StageView[];
  readonly totals: RolloutTotals;
  readonly created_ms: number;
  readonly created_by: string;
  readonly started_ms: number | null;
  readonly ended_ms: number | null;
  /** Boxes whose failure somebody has looked at. */
  readonly acknowledged: readonly string[];
}

/** `pending`: its turn has not come. */
export type RolloutBoxState = UpdateState | 'pending' | 'excluded';

/** What a state comes to, as in the totals. */
export type RolloutBoxStanding = 'waiting' | 'running' | 'confirmed' | 'failed' | 'excluded';

export interface RolloutBox {
  readonly box: string;
  readonly box_name: string;
  readonly online: boolean;
  readonly stage: number;
  readonly state: RolloutBoxState;
  readonly progress: number | null;
  readonly message: string;
  /** How often it was ordered. */
  readonly attempt: number;
  /** It failed, and somebody has taken note. */
  readonly acknowledged: boolean;
  readonly changed_ms: number;
}
