import { describe, expect, it } from 'vitest';

import { ApiError } from '../src/api/problem';
import type { RolloutView } from '../src/api/software';
import { eventWords } from '../src/pages/box/events';
import { offersOf } from '../src/pages/software/steer';
import { uploadProblem } from '../src/pages/software/upload-words';
import { byBoard, compareVersions, fitting } from '../src/pages/software/versions';
import { canariesFor } from '../src/software/boxes';
import {
  byUrgency,
  planWords,
  readStages,
  rolloutWords,
  span,
  stageBoxes,
  stageName,
  totalsWords,
} from '../src/words/software';
import { deed } from '../src/words/audit';

const ROWS = [
  { version: '0.9.2', compatible: 'nx', boxes: 40, online: 38 },
  { version: '0.10.0', compatible: 'nx', boxes: 2, online: 2 },
  { version: '0.9.2', compatible: 'nano', boxes: 5, online: 5 },
  { version: '0.9.0', compatible: null, boxes: 90, online: 1 },
];

describe('what runs where', () => {
  it('is told board by board, the newest version first', () => {
    const boards = byBoard(ROWS);
    expect(boards.map(({ compatible, boxes }) => [compatible, boxes])).toEqual([
      ['nx', 42],
      ['nano', 5],
      [null, 90],
    ]);
    expect(boards[0]?.versions.map(({ version }) => version)).toEqual(['0.10.0', '0.9.2']);
    expect(compareVersions('0.10.0', '0.9.9')).toBeGreaterThan(0);
  });

  it('says how many boxes a bundle fits', () => {
    expect(fitting(ROWS, { compatible: 'nx', version: '0.10.0' })).toEqual({
      boxes: 42,
      already: 2,
      online: 40,
    });
    expect(fitting(ROWS, { compatible: 'orin', version: '1' }).boxes).toBe(0);
  });
});

describe('stages', () => {
  it('are read as people type them', () => {
    expect(readStages('10, 50,100')).toEqual({ ok: true, stages: [10, 50, 100] });
    expect(readStages('5 % 100 %')).toEqual({ ok: true, stages: [5, 100] });
    for (const wrong of ['', 'soon', '50, 10, 100', '10, 10, 100', '10, 50', '0, 100', '50, 101']) {
      expect(readStages(wrong).ok, wrong).toBe(false);
    }
  });

  it('have whole boxes, and never none', () => {
    expect([stageBoxes(1, 20), stageBoxes(50, 5), stageBoxes(100, 5)]).toEqual([1, 3, 5]);
    expect([canariesFor(1), canariesFor(20), canariesFor(120), canariesFor(5_000)]).toEqual([0, 1, 3, 5]);
    expect([stageName('canary', 0), stageName('10 %', 1), stageName('100 %', 2), stageName('', 3)]).toEqual([
      'Canary boxes',
      '10 % of the boxes',
      'All boxes',
      'Stage 4',
    ]);
    expect([span(600), span(5_400), span(86_400), span(90)]).toEqual([
      '10 min',
      '1 h 30 min',
      '1 d',
      '1 min 30 s',
    ]);
  });
});

describe('a plan', () => {
  const plan = {
    stages: [10, 100],
    max_failures: 0,
    success_percent: 100,
    gate: 'automatic' as const,
    soak_s: 600,
    force: false,
  };

  it('says what will happen before it does', () => {
    expect(
      planWords(plan, { total: 120, already: 3, version: '0.4.0', canaries: ['Dhaka 1', 'Pisa 1'] }),
    ).toEqual([
      '120 boxes get version 0.4.0. 3 of them run it already.',
      'First Dhaka 1, Pisa 1. After them 10 % (12), then all 120.',
      'Once every box of a stage has confirmed it and 10 min have passed, the next stage begins by itself.',
      'The first box that fails, rolls back or goes silent halts it.',
      'Each box waits until nothing is live on it and it is in its maintenance window.',
    ]);
  });

  it('puts up with no failure where every box has to be confirmed', () => {
    const lines = planWords(
      { ...plan, max_failures: 5 },
      { total: 120, already: 0, version: '1', canaries: [] },
    );
    expect(lines).toContain('The first box that fails, rolls back or goes silent halts it.');
  });

  it('warns of what is forced', () => {
    const lines = planWords(
      { ...plan, force: true, max_failures: 2, gate: 'manual', soak_s: 0, success_percent: 90 },
      { total: 1, already: 0, version: '1', canaries: [] },
    );
    expect(lines).toEqual([
      '1 box gets version 1.',
      'There is no canary: it begins with 10 % (1), then all 1.',
      'Once 90 % of the boxes of a stage have confirmed it, it waits until somebody continues.',
      'It halts once more than 2 boxes have failed, rolled back or gone silent, or so many that 90 % cannot be confirmed any more.',
      'Live streams are interrupted, and maintenance windows do not count.',
    ]);
  });
});

const ROLLOUT: RolloutView = {
  id: '01',
  name: 'Spring',
  bundle: { sha256: 'aa', version: '0.4.0' },
  compatible: 'nx',
  canary: ['a'],
  stages: [5, 50, 100],
  max_failures: 0,
  success_percent: 100,
  gate: 'automatic',
  soak_s: 3_600,
  force: false,
  state: 'running',
  reason: '',
  stage: 0,
  soak_until_ms: null,
  stages_view: [
    { name: 'canary', target: 1, updated: 0, failed: 0, running: 1, waiting: 0 },
    { name: '5 %', target: 0, updated: 0, failed: 0, running: 0, waiting: 0 },
    { name: '50 %', target: 9, updated: 0, failed: 0, running: 0, waiting: 9 },
    { name: '100 %', target: 10, updated: 0, failed: 0, running: 0, waiting: 10 },
  ],
  totals: { boxes: 20, confirmed: 0, failed: 0, silent: 0, running: 1, waiting: 19, excluded: 0 },
  created_ms: 1,
  created_by: 'ada',
  started_ms: 1,
  ended_ms: null,
  acknowledged: [],
};

describe('a rollout', () => {
  it('says how it stands and what comes next', () => {
    expect(rolloutWords(ROLLOUT, 0)).toEqual({
      now: 'Canary boxes: 0 of 1 box confirmed, 1 at work.',
      next: 'Then 50 % of the boxes (9 boxes more) once these have done well for 1 h.',
    });
    expect(rolloutWords({ ...ROLLOUT, soak_until_ms: 600_000 }, 540_000).next).toBe(
      'The stage is done and is watched for another 1 min 00 s; then 50 % of the boxes (9 boxes more).',
    );
    expect(rolloutWords({ ...ROLLOUT, state: 'halted', reason: '1 box failed' }, 0).now).toBe(
      '1 box failed.',
    );
    expect(rolloutWords({ ...ROLLOUT, stage: 3 }, 0).next).toBe('This is the last stage.');
    const totals = { ...ROLLOUT.totals, confirmed: 4, running: 2 };
    expect(rolloutWords({ ...ROLLOUT, state: 'aborted', totals }, 0).next).toBe(
      '4 boxes keep the new version, 2 still go on to the end; the others keep the old one.',
    );
    expect(totalsWords({ ...ROLLOUT.totals, failed: 3, silent: 1, confirmed: 3 })).toBe(
      '3 of 20 boxes confirmed, 1 at work, 2 failed, 1 silent, 19 not yet',
    );
  });

  it('that needs somebody is on top, and offers what helps', () => {
    const states = (['done', 'running', 'gated', 'draft', 'halted'] as const).map((state) => ({
      ...ROLLOUT,
      state,
    }));
    expect(states.sort(byUrgency).map(({ state }) => state)).toEqual([
      'halted',
      'gated',
      'running',
      'draft',
      'done',
    ]);
    expect(offersOf('halted').find(({ primary }) => primary === true)?.key).toBe('resume');
    expect(offersOf('gated').find(({ primary }) => primary === true)?.key).toBe('continue');
    expect(offersOf('done')).toEqual([]);
  });
});

describe('what happened', () => {
  it('to a bundle that was not taken is told with what to do', () => {
    const refused = uploadProblem(new ApiError(422, { detail: 'it does not begin as a squashfs does' }));
    expect(refused.title).toBe('This is not a bundle that the server can read');
    expect(refused.detail).toMatch(/^It does not begin as a squashfs does\. Is it/);
    expect(uploadProblem(new ApiError(422, { field: 'version' })).title).toContain('does not say what it is');
  });

  it('to a box is an event in words', () => {
    const ended = { at_ms: 0, received_ms: 0, kind: 'update_ended', from: '0.3.1', to: '0.4.0' };
    expect(eventWords({ ...ended, state: 'confirmed', message: '' })).toMatchObject({
      title: 'Updated to 0.4.0',
      detail: 'From 0.3.1',
      tone: 'good',
    });
    expect(eventWords({ ...ended, state: 'rolled_back', message: 'no picture' })).toMatchObject({
      title: 'Update to 0.4.0: rolled back',
      detail: 'From 0.3.1 · no picture',
      tone: 'critical',
    });
  });

  it('is in the audit log as a sentence', () => {
    expect(deed('rollout.pause', 'rollout/01J')).toEqual({
      verb: 'paused rollout',
      target: '01J',
      href: '/software/rollouts/01J',
    });
    expect(deed('rollout.advance', 'rollout/01J').verb).toBe('began the next stage of rollout');
    expect(deed('bundle.add', 'bundle/aa')).toMatchObject({ verb: 'added bundle', href: '/software' });
    expect(deed('update.order', 'box/box-a/update/01J')).toEqual({
      verb: 'ordered an update of box',
      target: 'box-a',
      href: '/boxes/box-a',
    });
  });
});
