// The named warnings of a stream, as a person would say them: a title, and who can do something about it. The
// text beside the title comes from the box, which knows the figures.

/** Who can mend it: the streamer at the encoder, the box's operator, or whoever runs the box's line. */
export type Side = 'encoder' | 'box' | 'line';

export interface Warning {
  code: string;
  text: string;
}

export interface Named {
  code: string;
  title: string;
  text: string;
  side: Side;
  /** Viewers do not notice it; it could be better all the same. */
  hint: boolean;
}

type Entry = readonly [title: string, side: Side, hint?: 'hint'];

const NAMES: Readonly<Record<string, Entry>> = {
  no_video: ['No picture arrives', 'encoder'],
  no_audio: ['No sound arrives', 'encoder', 'hint'],
  av_skew: ['Sound and picture are out of step', 'encoder'],
  timestamp_jumps: ['The encoder’s clock jumps', 'encoder'],
  timestamps_jumped: ['The encoder’s clock jumped', 'encoder'],
  stalls: ['The connection to the box stutters', 'encoder'],
  bitrate_near_limit: ['The bitrate is close to the limit', 'encoder'],
  key_frames_far_apart: ['Key frames are too far apart', 'encoder'],
  gop_not_kept: ['Key frames are too far apart', 'encoder'],
  frames_missing: ['The encoder is overloaded', 'encoder'],
  b_frames: ['B-frames add delay', 'encoder', 'hint'],
  damaged_tags: ['The encoder sends damaged data', 'encoder'],
  audio_missing: ['No sound arrives', 'encoder', 'hint'],
  audio_late: ['Sound arrives too late', 'encoder'],
  no_passthrough: ['The source is encoded again', 'encoder', 'hint'],
  worker_slow: ['The box does not keep up', 'box'],
  worker_missing: ['The box’s encoder starts anew', 'box'],
  worker_restarted: ['The box’s encoder was restarted', 'box'],
  pipeline_failed: ['The box’s encoder was restarted', 'box'],
  decoder_overload: ['The box does not keep up', 'box'],
  overload: ['The box is overloaded', 'box'],
  behind: ['The box falls behind', 'box'],
  ladder_reduced: ['The box cannot carry every resolution', 'box'],
  key_frames_differ: ['Resolutions are cut unevenly', 'box'],
  no_key_frames: ['The box’s encoder made no key frame', 'box'],
  uplink_lag: ['The box’s line is too slow', 'line'],
};

/** A code that this build does not know is shown as it is, in words rather than underscores. */
function spelled(code: string): string {
  const words = code.replaceAll('_', ' ').trim();
  return words === '' ? 'Something is not right' : words.charAt(0).toUpperCase() + words.slice(1);
}

export function named(warning: Warning): Named {
  const [title, side, hint] = NAMES[warning.code] ?? [spelled(warning.code), 'box'];
  return { code: warning.code, title, text: sentence(warning.text), side, hint: hint === 'hint' };
}

/** The box's texts begin in lower case and have no full stop: they also stand in log lines. */
export function sentence(text: string): string {
  const trimmed = text.trim();
  if (trimmed === '') return '';
  // A name such as `tj-thermal` is spelled as it is.
  const name = /^\S*[-_/\d]/.test(trimmed);
  const capital = name ? trimmed : trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.!?…]$/.test(capital) ? capital : `${capital}.`;
}
