// What the REST API says, as far as the dashboard reads it. Times end in `_ms`: milliseconds since the Unix epoch.

/** Members have an account of the watch site, and no way in here. */
export type Role = 'viewer' | 'operator' | 'administrator' | 'streamer' | 'member';

export interface Person {
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  /** Of a streamer: the channels that are theirs. */
  readonly channels?: readonly string[];
}

export interface Me {
  readonly person: Person;
  readonly csrf_token: string;
  readonly expires_at_ms: number;
}

export interface Page<T> {
  readonly items: readonly T[];
  readonly total: number;
  readonly page: number;
  readonly per_page: number;
}

// Boxes

export type BoxState = 'online' | 'offline' | 'never_seen' | 'revoked';
export type Health = 'ok' | 'warning' | 'critical';

export interface Location {
  readonly name: string;
  readonly latitude: number;
  readonly longitude: number;
}

/** Why a box is not well. */
export interface Reason {
  readonly code: string;
  readonly severity: Health;
  readonly text: string;
}

export interface BoxSummary {
  readonly id: string;
  readonly name: string;
  readonly state: BoxState;
  readonly health: Health;
  /** The worst first. */
  readonly reasons: readonly Reason[];
  readonly model: string;
  readonly version: string;
  /** What bundles have to be made for; null: it takes no updates. */
  readonly compatible: string | null;
  readonly location: Location | null;
  readonly last_seen_ms: number | null;
  readonly cpu: number | null;
  readonly gpu: number | null;
  readonly encoder: number | null;
  readonly temperature_c: number | null;
  /** Share of the fullest disk, 0 to 1. */
  readonly disk_used: number | null;
  readonly uplink_sent_bps: number | null;
  readonly sessions: number;
  readonly spare_sessions: number | null;
  readonly desired_version: number;
  /** 0: none yet. */
  readonly applied_version: number;
  readonly rejected: string | null;
  readonly drain: boolean;
  readonly alerts: number;
}

export interface Hardware {
  readonly model: string;
  readonly serial: string;
  readonly architecture: string;
  readonly cores: number;
  readonly memory_bytes: number;
  readonly encoder: string;
  readonly os: string;
  readonly kernel: string;
  readonly l4t: string | null;
}

export interface Presence {
  readonly online: boolean;
  readonly boot_id: string | null;
  /** Connections to the broker so far. */
  readonly connection: number;
}

export interface Telemetry {
  readonly at_ms: number;
  readonly uptime_s: number;
  readonly cpu: number | null;
  readonly gpu: number | null;
  readonly encoder: number | null;
  readonly load_1m: number | null;
  readonly memory: {
    readonly total: number;
    readonly available: number;
    readonly swap_total: number;
    readonly swap_free: number;
  } | null;
  readonly temperatures: readonly {
    readonly zone: string;
    readonly celsius: number;
    readonly throttles_at: number | null;
  }[];
  readonly throttling: readonly string[];
  readonly power_w: number | null;
  readonly disks: readonly {
    readonly mount: string;
    readonly total_bytes: number;
    readonly free_bytes: number;
    readonly wear: number | null;
  }[];
  readonly interfaces: readonly {
    readonly name: string;
    readonly up: boolean;
    readonly speed_mbps: number | null;
    readonly received_bps: number;
    readonly sent_bps: number;
    readonly errors: number;
  }[];
  readonly uplink: {
    readonly sent_bps: number;
    readonly lag_ms: number;
    readonly backlog: number;
    readonly capacity_bps: number | null;
  } | null;
  readonly clock_offset_ms: number | null;
  readonly clock_synchronised: boolean | null;
  readonly processes: readonly {
    readonly name: string;
    readonly running: boolean;
    readonly restarts: number;
    readonly memory_bytes: number;
    readonly cpu: number;
  }[];
  readonly sessions: number;
  readonly spare_sessions: number | null;
  readonly outbox: { readonly waiting: number; readonly bytes: number; readonly dropped: number } | null;
  readonly certificate_not_after_ms: number | null;
}

export type LogLevel = 'off' | 'error' | 'warn' | 'info' | 'debug' | 'trace';

export type Day = 'mon' | 'tue' | 'wed' | 'thu' | 'fri' | 'sat' | 'sun';

/** When a box may reboot for an update by itself. */
export interface Window {
  /** On which it begins, in UTC; empty: every day. */
  readonly days: readonly Day[];
  /** Minute of the day at which it begins, in UTC. */
  readonly start_minute: number;
  /** How long it is; it may reach into the next day. */
  readonly minutes: number;
}

/** A field that is absent leaves what lies below: the fleet's settings, then the box's own configuration. */
export interface Settings {
  log_level?: LogLevel;
  ladder?: { name: string; height: number; bitrate: number }[];
  part_ms?: number;
  limits?: {
    connections?: number;
    connections_per_address?: number;
    bitrate_bps?: number;
    pixels_per_s?: number;
  };
  origins?: { name: string; url: string }[];
  stream_keys?: string[];
  telemetry_s?: number;
  /** Empty: at any time at which nothing is live. */
  maintenance?: Window[];
  drain?: boolean;
}

export interface Reported {
  readonly applied: number;
  readonly epoch: string;
  readonly settings: Settings;
  readonly rejected: { readonly version: number; readonly reason: string } | null;
  readonly pending: readonly string[];
  readonly at_ms: number;
}

export interface DesiredView {
  readonly own: Settings;
  readonly fleet: Settings;
  readonly effective: Settings;
  readonly version: number;
  readonly reported: Reported | null;
  /** Every setting that either side names. */
  readonly differences: readonly Difference[];
}

export interface Difference {
  /** Such as `ladder` or `limits.connections`. */
  readonly setting: string;
  /** Null: left to the box's own configuration. */
  readonly desired: unknown;
  /** Null: the box does not say. */
  readonly reported: unknown;
  readonly standing: 'applied' | 'pending' | 'waiting' | 'rejected' | 'differs';
}

export interface FleetSettings {
  readonly version: number;
  readonly settings: Settings;
}

export interface BoxDetail extends BoxSummary {
  readonly presence: Presence;
  readonly hardware: Hardware;
  readonly telemetry: Telemetry | null;
  readonly telemetry_at_ms: number | null;
  readonly desired: Settings;
  readonly reported: Reported | null;
  readonly certificate: { readonly serial: string; readonly not_after_ms: number } | null;
  readonly revoked: { readonly at_ms: number; readonly reason: string } | null;
  readonly capacity_bps: number | null;
  readonly notes: string;
  readonly enrolled_ms: number;
}

export const SERIES = [
  'cpu',
  'gpu',
  'encoder',
  'temperature_c',
  'memory_used',
  'disk_used',
  'uplink_sent_bps',
  'uplink_lag_ms',
  'clock_offset_ms',
  'sessions',
] as const;
export type Series = (typeof SERIES)[number];

export interface TelemetryHistory {
  readonly resolution_s: number;
  readonly at_ms: readonly number[];
  readonly series: Readonly<Partial<Record<Series, readonly (number | null)[]>>>;
}

/** Something that happened on a box; what else it has depends on its kind. */
export type BoxEvent = {
  /** By the box's clock. */
  readonly at_ms: number;
  /** By the server's clock: later when the box was offline. */
  readonly received_ms: number;
  readonly kind: string;
} & Readonly<Record<string, unknown>>;

// Commands

export type Action =
  | { readonly kind: 'restart_process'; readonly process: 'ingest' | 'uplink' | 'agent' }
  | { readonly kind: 'reboot' }
  | { readonly kind: 'identify'; readonly seconds: number }
  | { readonly kind: 'end_session'; readonly session: string; readonly reason: string }
  | { readonly kind: 'collect_logs'; readonly since_ms: number; readonly until_ms: number }
  | { readonly kind: 'self_test' }
  | { readonly kind: 'measure_uplink'; readonly bytes: number };

export type CommandState =
  'queued' | 'accepted' | 'running' | 'succeeded' | 'failed' | 'expired' | 'withdrawn';

export interface CommandView {
  readonly id: string;
  readonly box_id: string;
  readonly box_name?: string | null;
  readonly action: Action;
  readonly state: CommandState;
  readonly progress: number | null;
  readonly message: string;
  readonly result: unknown;
  readonly reason: string | null;
  readonly issued_ms: number;
  readonly expires_ms: number;
  readonly updated_ms: number;
  readonly issued_by: string;
  readonly history: readonly {
    readonly state: CommandState;
    readonly message: string;
    readonly at_ms: number;
  }[];
  readonly has_file: boolean;
}

// Sessions

export interface Warning {
  readonly code: string;
  readonly text: string;
}

/** Who can mend it: the streamer at the encoder, the box's operator, or whoever runs the box's line. */
export type Side = 'encoder' | 'box' | 'line';

export interface Advice {
  readonly code: string;
  readonly side: Side;
  /** Viewers do not notice it. */
  readonly hint: boolean;
  readonly text: string;
}

export interface Rung {
  readonly name: string;
  readonly width: number;
  readonly height: number;
  readonly state: string;
  readonly fps: number;
  readonly bitrate_bps: number;
  readonly frames: number;
  readonly dropped: number;
}

export interface SessionView {
  readonly session: string;
  readonly channel: string;
  readonly channel_name: string;
  readonly box_id: string;
  readonly box_name: string;
  readonly thumbnail_url: string | null;
  readonly watch_url: string | null;
  readonly started_ms: number;
  readonly health: Health;
  /** How it does in one sentence, and who has to do something; empty when nobody has. */
  readonly headline: string;
  readonly detail: string;
  /** What viewers notice, and what the streamer can mend, first. */
  readonly advice: readonly Advice[];
  readonly encoder: string;
  readonly transport: string;
  readonly peer: string;
  readonly at_ms: number;
  readonly live_s: number;
  readonly input: {
    readonly bitrate_bps: number;
    readonly video_codec: string | null;
    readonly width: number | null;
    readonly height: number | null;
    readonly fps: number | null;
    readonly key_frame_interval_s: number | null;
    readonly b_frames: boolean;
    readonly audio_codec: string | null;
    readonly sample_rate: number | null;
    readonly channels: number | null;
    readonly av_skew_ms: number | null;
    readonly timestamp_jumps: number;
    readonly stalls: number;
  };
  readonly ladder: {
    readonly backend: string;
    readonly speed: number;
    readonly lag_ms: number;
    readonly overload: string;
    readonly worker: number;
    readonly rungs: readonly Rung[];
  } | null;
  readonly uplink: { readonly connected: boolean; readonly lag_ms: number; readonly backlog: number } | null;
  readonly warnings: readonly Warning[];
}

// Channels

export interface KeyView {
  readonly version: number;
  readonly label: string | null;
  readonly created_ms: number;
  readonly expires_at_ms: number | null;
  readonly revoked_ms: number | null;
  readonly created_by: string | null;
}

export interface ChannelView {
  readonly id: string;
  readonly display_name: string;
  readonly owner: string | null;
  readonly owner_name?: string | null;
  readonly state: 'live' | 'offline' | 'suspended';
  readonly suspended_reason: string | null;
  readonly created_ms: number;
  readonly session: SessionView | null;
  readonly keys: readonly KeyView[];
  readonly watch_url: string | null;
  readonly thumbnail_url: string | null;
}

// Alerts, enrolments

export interface AlertView {
  readonly id: string;
  readonly kind: string;
  readonly severity: 'warning' | 'critical';
  readonly box_id: string | null;
  readonly box_name: string | null;
  readonly session: string | null;
  readonly channel: string | null;
  /** Id of the one that is halted. */
  readonly rollout: string | null;
  readonly reason: string;
  readonly started_ms: number;
  readonly ended_ms: number | null;
  readonly end_reason: string | null;
  readonly acknowledged_by: string | null;
}

export interface EnrolmentView {
  readonly box_id: string;
  readonly code: string;
  readonly hardware: Hardware | null;
  readonly version: string;
  readonly address: string | null;
  /** A person turned it away; approving it still lets it in. */
  readonly rejected: boolean;
  readonly first_seen_ms: number;
  readonly last_seen_ms: number;
}

// Overview

export interface BoxOnMap {
  readonly id: string;
  readonly name: string;
  readonly state: BoxState;
  readonly health: Health;
  readonly latitude: number;
  readonly longitude: number;
  readonly sessions: number;
}

export interface Overview {
  readonly boxes: {
    readonly total: number;
    readonly online: number;
    readonly offline: number;
    readonly warning: number;
    readonly critical: number;
    readonly waiting: number;
  };
  readonly live: readonly SessionView[];
  readonly viewers?: number | null;
  readonly alerts_active: number;
  readonly boxes_on_map: readonly BoxOnMap[];
}
