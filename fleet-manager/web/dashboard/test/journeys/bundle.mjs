// A real RAUC bundle, as small as one can be: the server reads it, and simulated boxes do as if they had installed it.

import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export class Bundles {
  #dir = mkdtempSync(join(tmpdir(), 'nodi-bundles-'));

  constructor() {
    this.#run('openssl', [
      ...[
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:prime256v1',
        '-nodes',
        '-days',
        '2',
      ],
      ...[
        '-subj',
        '/CN=journeys',
        '-keyout',
        join(this.#dir, 'key.pem'),
        '-out',
        join(this.#dir, 'cert.pem'),
      ],
    ]);
  }

  /** Makes one; its path. */
  make({ version, compatible, description }) {
    const content = join(this.#dir, version);
    mkdirSync(content);
    writeFileSync(
      join(content, 'manifest.raucm'),
      [
        '[update]',
        `compatible=${compatible}`,
        `version=${version}`,
        `description=${description}`,
        '[bundle]',
        'format=verity',
        '[image.rootfs]',
        'filename=rootfs.img',
        '',
      ].join('\n'),
    );
    // What can be compressed to nothing is too small for RAUC.
    writeFileSync(join(content, 'rootfs.img'), randomBytes(1 << 16));
    const file = join(this.#dir, `${version}.raucb`);
    this.#run('rauc', [
      'bundle',
      `--cert=${join(this.#dir, 'cert.pem')}`,
      `--key=${join(this.#dir, 'key.pem')}`,
      content,
      file,
    ]);
    return file;
  }

  /** Something that is none. */
  picture() {
    const file = join(this.#dir, 'holiday.raucb');
    writeFileSync(file, 'This was taken on the beach.'.repeat(1000));
    return file;
  }

  remove() {
    rmSync(this.#dir, { recursive: true, force: true });
  }

  #run(program, args) {
    execFileSync(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  }
}
