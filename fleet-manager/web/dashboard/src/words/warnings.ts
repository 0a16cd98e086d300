// Titles of the named warnings of a stream. What is wrong exactly, and who can mend it, says the server.

const TITLES: Readonly<Record<string, string>> = {
  no_video: 'No picture arrives',
  no_audio: 'No sound arrives',
  av_skew: 'Sound and picture are out of step',
  timestamp_jumps: 'The encoder’s clock jumps',
  timestamps_jumped: 'The encoder’s clock jumped',
  stalls: 'The connection to the box stutters',
  bitrate_near_limit: 'The bitrate is close to the limit',
  key_frames_far_apart: 'Key frames are too far apart',
  gop_not_kept: 'Key frames are too far apart',
  frames_missing: 'The encoder is overloaded',
  b_frames: 'B-frames add delay',
  damaged_tags: 'The encoder sends damaged data',
  audio_missing: 'No sound arrives',
  audio_late: 'Sound arrives too late',
  no_passthrough: 'The source is encoded again',
  worker_slow: 'The box does not keep up',
  worker_missing: 'The box’s encoder starts anew',
  worker_restarted: 'The box’s encoder was restarted',
  pipeline_failed: 'The box’s encoder was restarted',
  decoder_overload: 'The box does not keep up',
  overload: 'The box is overloaded',
  behind: 'The box falls behind',
  ladder_reduced: 'The box cannot carry every resolution',
  key_frames_differ: 'Resolutions are cut unevenly',
  no_key_frames: 'The box’s encoder made no key frame',
  uplink_lag: 'The box’s line is too slow',
  uplink_away: 'The box’s line is down',
  box_away: 'The box is out of sight',
};

/** A code that this build does not know is shown as it is, in words rather than underscores. */
export function warningTitle(code: string): string {
  const known = TITLES[code];
  if (known !== undefined) return known;
  const words = code.replaceAll('_', ' ').trim();
  return words === '' ? 'Something is not right' : words.charAt(0).toUpperCase() + words.slice(1);
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
