// The peer of the chat bench that is built on npm's `ws`: whatever a client says, all hear. `node chat-broadcast.mjs PORT`

import { createRequire } from 'node:module';

const { WebSocketServer } = createRequire(new URL('../../fleet-manager/web/package.json', import.meta.url))(
  'ws',
);

const server = new WebSocketServer({
  host: '127.0.0.1',
  port: Number(process.argv[2]),
  perMessageDeflate: false,
  clientTracking: true,
});
server.on('connection', (client) => {
  client.on('error', () => {});
  client.on('message', (data) => {
    // The bytes as they came: decoding them to a string would have to be undone for every client.
    for (const other of server.clients) other.send(data, { binary: false });
  });
});
