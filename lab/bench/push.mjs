// A box as the origin sees it: claims a channel and pushes made-up segments (docs/interfaces.md, section 5).

import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { join } from 'node:path';

/** An authority, a server certificate for loopback and a box's certificate, all PEM files in `dir`. */
export function makeCertificates(dir) {
  mkdirSync(dir, { recursive: true });
  const openssl = (...args) =>
    execFileSync('openssl', args, {
      cwd: dir,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl(
    'req',
    '-x509',
    ...key,
    '-keyout',
    'ca.key',
    '-out',
    'ca.pem',
    '-subj',
    '/CN=bench',
    '-days',
    '2',
    '-addext',
    'keyUsage=critical,keyCertSign,cRLSign',
  );
  for (const [name, extensions] of [
    [
      'server',
      'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE',
    ],
    ['box', 'extendedKeyUsage=clientAuth\nbasicConstraints=CA:FALSE'],
  ]) {
    openssl('req', ...key, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
    writeFileSync(join(dir, `${name}.ext`), extensions);
    openssl(
      'x509',
      '-req',
      '-in',
      `${name}.csr`,
      '-CA',
      'ca.pem',
      '-CAkey',
      'ca.key',
      '-CAcreateserial',
      '-days',
      '2',
      '-extfile',
      `${name}.ext`,
      '-out',
      `${name}.pem`,
    );
  }
}

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/** A ULID of now. */
function sessionId() {
  let value = (BigInt(Date.now()) << 80n) | BigInt(`0x${randomBytes(10).toString('hex')}`);
  let text = '';
  for (let digit = 0; digit < 26; digit++) {
    text = ALPHABET[Number(value & 31n)] + text;
    value >>= 5n;
  }
  return text;
}

export const RENDITION = '1080p';

export class Box {
  #agent;
  #port;
  #key;
  #offset = 0;
  #current = null;
  channel;
  session = sessionId();

  constructor(port, certificates, channel, streamKey) {
    const read = (name) => readFileSync(join(certificates, name));
    this.#agent = new Agent({
      keepAlive: true,
      ca: read('ca.pem'),
      cert: read('box.pem'),
      key: read('box.key'),
    });
    this.#port = port;
    this.#key = streamKey;
    this.channel = channel;
  }

  async claim({ segmentSeconds, partSeconds }) {
    await this.#put('', {
      base_msn: 0,
      renditions: [
        {
          name: RENDITION,
          kind: 'video',
          codecs: 'avc1.640028',
          width: 1920,
          height: 1080,
          frame_rate: [30, 1],
          bandwidth: 6_000_000,
          average_bandwidth: 5_500_000,
        },
      ],
      target_duration_s: segmentSeconds,
      part_target_ns: Math.round(partSeconds * 1e9),
    });
    await this.#put(`/${RENDITION}/init/0`, randomBytes(800));
  }

  /** Pushes one part of segment `msn`; with `last` the segment is finished. */
  async part(msn, bytes, seconds, last) {
    if (this.#current?.msn !== msn) {
      this.#offset = 0;
      this.#current = {
        msn,
        session: this.session,
        init: 0,
        discontinuity: false,
        program_date_time_ms: Date.now(),
        finished: null,
        parts: [],
      };
    }
    const segment = this.#current;
    segment.parts.push({
      duration_ns: Math.round(seconds * 1e9),
      independent: segment.parts.length === 0,
      offset: this.#offset,
      len: bytes.length,
    });
    await this.#put(`/${RENDITION}/segments/${msn}`, bytes, {
      'upload-offset': String(this.#offset),
    });
    this.#offset += bytes.length;
    if (last)
      segment.finished = {
        duration_ns: segment.parts.reduce((sum, part) => sum + part.duration_ns, 0),
        len: this.#offset,
      };
    await this.#put(`/${RENDITION}/playlist`, { segments: [segment] });
  }

  close() {
    this.#agent.destroy();
  }

  #put(path, body, headers = {}) {
    const bytes = Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
    return new Promise((resolve, reject) => {
      const sent = request(
        {
          agent: this.#agent,
          host: 'localhost',
          port: this.#port,
          method: 'PUT',
          path: `/push/v1/${this.channel}/${this.session}${path}`,
          headers: {
            authorization: `Bearer ${this.#key}`,
            'content-type': Buffer.isBuffer(body) ? 'application/octet-stream' : 'application/json',
            'content-length': bytes.length,
            ...headers,
          },
        },
        (response) => {
          const chunks = [];
          response.on('data', (chunk) => chunks.push(chunk));
          response.on('end', () => {
            if (response.statusCode < 300) resolve();
            else
              reject(
                new Error(
                  `PUT ${path}: HTTP ${response.statusCode} ${Buffer.concat(chunks).toString().slice(0, 300)}`,
                ),
              );
          });
        },
      );
      sent.on('error', reject);
      sent.end(bytes);
    });
  }
}
