// The conformance cases with npm's `ws`: ws.mjs --url URL --cases DIR --accounts FILE

import { createRequire } from 'node:module';

import { Inbox, main } from './script.mjs';

const WebSocket = createRequire(new URL('../../../../web/package.json', import.meta.url))('ws');
const ORIGINS = { foreign: 'https://foreign.example' };

function connect(url, { subprotocol = 'nodi.chat.v1', origin, version = 13 }) {
  const socket = new WebSocket(url, subprotocol === null ? [] : [subprotocol], {
    perMessageDeflate: true, // offered, as browsers offer it; the service may decline
    origin: ORIGINS[origin] ?? origin,
    protocolVersion: version,
  });
  const inbox = new Inbox();
  const pongs = new Inbox();
  const sent = (send) =>
    new Promise((resolve, reject) => send((error) => (error ? reject(error) : resolve())));
  const connection = {
    inbox,
    status: 101,
    // What the service closes while it is being sent is for the `closed` step to see.
    send: (text, { mask = true } = {}) => sent((done) => socket.send(text, { mask }, done)).catch(() => {}),
    sendBytes: (bytes, kind) =>
      sent((done) => socket.send(bytes, { binary: kind === 'binary' }, done)).catch(() => {}),
    async sendPieces(pieces) {
      for (const [index, piece] of pieces.entries())
        await sent((done) => socket.send(piece, { fin: index === pieces.length - 1 }, done));
    },
    async ping(data) {
      await sent((done) => socket.ping(data, true, done));
      if ((await pongs.next(10_000)) !== data) throw new Error('no pong, or another one');
    },
    close() {
      socket.close(1000);
      return inbox.closed;
    },
  };
  return new Promise((resolve) => {
    socket.on('open', () => resolve(connection));
    socket.on('unexpected-response', (request, response) => {
      request.destroy();
      resolve({ ...connection, status: response.statusCode });
    });
    socket.on('message', (data) => inbox.push(data.toString()));
    socket.on('pong', (data) => pongs.push(data.toString()));
    socket.on('close', (code) => inbox.close(code));
    socket.on('error', () => {});
  });
}

await main(async ({ url }) => ({
  name: 'ws',
  can: ['binary', 'pieces', 'ping', 'bad text', 'unmasked', 'version', 'status'],
  open: (how) => connect(url, how),
  async end() {},
}));
