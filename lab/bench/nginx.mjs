// nginx as a peer: one worker, nothing on disk that lasts.

import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { family } from './cost.mjs';
import { Child, listening, output, scratch, until } from './processes.mjs';

const PROGRAM =
  ['/usr/sbin/nginx', '/usr/bin/nginx', '/usr/local/sbin/nginx'].find((path) => existsSync(path)) ?? 'nginx';
const RTMP_MODULE = [
  '/usr/lib/nginx/modules/ngx_rtmp_module.so',
  '/usr/lib64/nginx/modules/ngx_rtmp_module.so',
].find((path) => existsSync(path));

/** `body`: what stands beside `events`, such as an `http` or an `rtmp` block. */
export async function startNginx(name, port, body, { rtmp = false } = {}) {
  const root = join(scratch, `${name}-${port}`);
  mkdirSync(root, { recursive: true });
  if (rtmp && RTMP_MODULE === undefined) throw new Error('nginx has no RTMP module: run scripts/setup bench');
  const config = join(root, 'nginx.conf');
  writeFileSync(
    config,
    `${rtmp ? `load_module ${RTMP_MODULE};\n` : ''}${process.getuid() === 0 ? 'user root;\n' : ''}worker_processes 1;
worker_rlimit_nofile 16384;
daemon off;
pid ${root}/nginx.pid;
error_log stderr error;
events { worker_connections 8192; }
${body(root)}
`,
  );
  const child = new Child(name, PROGRAM, ['-p', root, '-c', config, '-e', 'stderr']);
  await listening(port, child);
  // The master listens before there is a worker, and it is the worker that costs.
  await until(`${name}'s worker`, 5_000, () => family(child.pid).length > 1);
  return child;
}

export function httpBlock(root, servers) {
  return `http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  types { application/vnd.apple.mpegurl m3u8; video/mp4 mp4 m4s; text/html html; text/javascript js; text/css css; image/svg+xml svg; application/json json; video/mp2t ts; }
  client_body_temp_path ${root}/body;
  proxy_temp_path ${root}/proxy;
  fastcgi_temp_path ${root}/fastcgi;
  uwsgi_temp_path ${root}/uwsgi;
  scgi_temp_path ${root}/scgi;
  ${servers}
}`;
}

export async function nginxVersion() {
  return (await output('/bin/sh', ['-c', `${PROGRAM} -v 2>&1`])).trim().replace('nginx version: ', '');
}
