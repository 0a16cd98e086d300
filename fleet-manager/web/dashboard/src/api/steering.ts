// What the REST API says about channels' keys, enrolment, people, webhooks, the audit log and going live.

import type { Role, SessionView } from './types';

/** Answer to minting: the only time that the key is seen. */
export interface MintedKey {
  readonly key: string;
  readonly version: number;
  /** Servers to publish to, the best first. */
  readonly ingest_urls?: readonly string[];
}

export interface Ended {
  readonly session: string;
  readonly channel: string;
  readonly channel_name?: string | null;
  readonly box_id: string;
  readonly box_name?: string | null;
  readonly started_ms: number | null;
  readonly ended_ms: number;
  readonly seconds: number;
  readonly received_bytes: number;
  readonly reason: string;
}

export interface ClaimCode {
  readonly id: string;
  readonly note: string;
  readonly created_ms: number;
  readonly created_by: string;
  readonly expires_ms: number;
  /** Boxes that may come in with it, and those that did. */
  readonly uses: number;
  readonly used: number;
}

export interface MadeClaimCode extends ClaimCode {
  /** Shown once. */
  readonly code: string;
}

export interface PersonView {
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  readonly disabled: boolean;
  readonly created_ms: number;
  readonly last_login_ms: number | null;
  readonly channels?: readonly string[];
}

/** A browser that somebody is logged in with. */
export interface LoginView {
  readonly id: string;
  /** The one that asks. */
  readonly current: boolean;
  readonly address: string;
  readonly user_agent?: string | null;
  readonly created_ms: number;
  readonly seen_ms: number;
}

export type Scope = 'read' | 'operate' | 'administer';

export interface TokenView {
  readonly id: string;
  readonly name: string;
  /** Name of whose it is. */
  readonly person: string;
  /** All that it has; each includes those before it. */
  readonly scopes: readonly Scope[];
  readonly created_ms: number;
  readonly expires_at_ms: number | null;
  readonly last_used_ms: number | null;
}

export interface MadeToken extends TokenView {
  /** Shown once. */
  readonly token: string;
}

export interface Webhook {
  readonly id: string;
  readonly url: string;
  /** Empty: all. */
  readonly kinds: readonly string[];
  readonly enabled: boolean;
  readonly created_ms: number;
  readonly created_by: string;
  /** Deliveries that wait, and those that were given up because too many waited. */
  readonly waiting: number;
  readonly dropped: number;
}

export interface MadeWebhook extends Webhook {
  /** Shown once. */
  readonly secret: string;
}

export interface Delivery {
  readonly id: string;
  /** Such as `alert.started`. */
  readonly event: string;
  readonly kind: string;
  readonly state: 'waiting' | 'delivered' | 'failed';
  readonly attempts: number;
  readonly status: number | null;
  readonly error: string | null;
  readonly created_ms: number;
  readonly next_ms: number | null;
  readonly done_ms: number | null;
}

export interface AuditEntry {
  readonly id: string | number;
  readonly at_ms: number;
  readonly actor: { readonly kind: string; readonly id: string | null; readonly name: string | null };
  readonly address: string | null;
  readonly action: string;
  readonly target: string | null;
  readonly before: unknown;
  readonly after: unknown;
}

export interface Ingest {
  readonly _id: string;
  readonly name: string;
  readonly availability: number;
  readonly default: boolean;
  readonly priority: number;
  readonly url_template: string;
  readonly url_template_secure?: string | null;
}

/** What a streamer needs to go live on a channel. */
export interface GoLive {
  readonly channel: string;
  readonly display_name: string;
  /** Why nobody can publish to it, if nobody can. */
  readonly suspended_reason: string | null;
  readonly ingests: readonly Ingest[];
  readonly settings: {
    readonly video_bitrate_bps: number;
    readonly audio_bitrate_bps: number;
    readonly key_frame_interval_s: number;
    readonly max_height: number;
    /** The same in the words of OBS, each with its reason. */
    readonly obs: readonly { readonly name: string; readonly value: string; readonly why: string }[];
  };
  readonly session: SessionView | null;
  readonly watch_url: string | null;
}
