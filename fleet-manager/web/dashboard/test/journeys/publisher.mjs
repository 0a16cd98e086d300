// A streamer's encoder: ffmpeg with what the page shows, and nothing else.

import { spawn } from 'node:child_process';

/** 540p30 with a moving picture and a tone: small enough for two cores that also encode the ladder. */
const PICTURE = 'testsrc2=size=960x540:rate=30';
const SOUND = 'sine=frequency=330:sample_rate=48000';

export class Publisher {
  #child;
  #said = '';
  ended;

  constructor(server, key) {
    const url = `${server.replace(/\/$/, '')}/${key}`;
    this.#child = spawn(
      'ffmpeg',
      [
        ...['-hide_banner', '-loglevel', 'error', '-nostdin'],
        ...['-re', '-f', 'lavfi', '-i', PICTURE, '-re', '-f', 'lavfi', '-i', SOUND],
        ...['-c:v', 'libx264', '-preset', 'ultrafast', '-tune', 'zerolatency', '-pix_fmt', 'yuv420p'],
        ...['-b:v', '1500k', '-g', '60', '-c:a', 'aac', '-b:a', '128k', '-ac', '2'],
        ...['-f', 'flv', url],
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    this.#child.stderr.setEncoding('utf8');
    this.#child.stderr.on('data', (text) => {
      // What it says may hold the address, and so the key.
      this.#said = (this.#said + text.replaceAll(key, '…')).slice(-2_000);
    });
    this.ended = new Promise((resolve) => {
      this.#child.on('error', (error) => resolve(error.message));
      this.#child.on('close', (code) => resolve(`ffmpeg ended with ${code}: ${this.#said.trim()}`));
    });
  }

  get running() {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  get said() {
    return this.#said.trim();
  }

  async stop() {
    if (this.running) this.#child.kill('SIGKILL');
    await this.ended;
  }
}
