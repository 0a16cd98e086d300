// The conformance cases in Chromium: chromium.mjs --url URL --cases DIR --accounts FILE --page-port PORT
// The service has to take http://127.0.0.1:PORT for a page of its own.

import { createServer } from 'node:http';
import { createRequire } from 'node:module';

import { Inbox, main } from './script.mjs';

const { chromium } = createRequire(new URL('../../../../web/package.json', import.meta.url))(
  'playwright-core',
);

/** In the page: sockets by number, and what they report. */
function inPage() {
  const sockets = new Map();
  window.connect = (id, url, subprotocol) => {
    const socket = new WebSocket(url, subprotocol === null ? [] : [subprotocol]);
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => window.report(id, 'open');
    socket.onmessage = ({ data }) => window.report(id, 'frame', data);
    socket.onclose = ({ code }) => window.report(id, 'close', code);
    sockets.set(id, socket);
  };
  window.send = (id, text) => sockets.get(id).send(text);
  window.sendBytes = (id, bytes) => sockets.get(id).send(new Uint8Array(bytes));
  window.end = (id) => sockets.get(id).close(1000);
}

await main(async ({ url, pagePort }) => {
  const server = createServer((_, response) => {
    response.setHeader('content-type', 'text/html').end('<!doctype html><title>conformance</title>');
  });
  await new Promise((resolve) => server.listen(pagePort, '127.0.0.1', resolve));
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: process.getuid() === 0 ? ['--no-sandbox'] : [],
  });
  const connections = new Map();
  const open = async (address) => {
    const page = await browser.newPage();
    await page.exposeFunction('report', (id, what, data) => connections.get(id)(what, data));
    await page.addInitScript(inPage);
    await page.goto(address);
    return page;
  };
  const pages = {
    own: await open(`http://127.0.0.1:${pagePort}/`),
    foreign: await open(`http://localhost:${pagePort}/`),
  };
  let last = 0;
  return {
    name: 'Chromium',
    can: ['binary'],
    async open({ subprotocol = 'nodi.chat.v1', origin = 'own' }) {
      const id = ++last;
      const page = pages[origin];
      const inbox = new Inbox();
      const opened = new Promise((resolve) => {
        connections.set(id, (what, data) => {
          if (what === 'open') resolve(101);
          else if (what === 'frame') inbox.push(data);
          else {
            inbox.close(data);
            resolve(null);
          }
        });
      });
      await page.evaluate(([...given]) => window.connect(...given), [id, url, subprotocol]);
      return {
        inbox,
        status: await opened,
        send: (text) => page.evaluate(([...given]) => window.send(...given), [id, text]),
        sendBytes: (bytes) => page.evaluate(([...given]) => window.sendBytes(...given), [id, [...bytes]]),
        async close() {
          await page.evaluate((given) => window.end(given), id).catch(() => {});
          return inbox.closed;
        },
      };
    },
    async end() {
      await browser.close();
      server.close();
    },
  };
});
