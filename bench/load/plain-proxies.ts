// nginx and haproxy as one would run them before engines: one worker, kept connections on both
// sides, nothing buffered, no delay, no log.

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { freePort } from '#test/support/free-port.js';
import type { Contender, ContenderKind, Field } from './contender.js';
import { processTree, startChild, stopChild, until } from './processes.js';

const WARM_UP_MS = 500;

export const nginx: ContenderKind = {
  name: 'nginx',
  start: (field) => startPlain('nginx', ['-v'], field, nginxConfiguration, (file) => ['-c', file]),
};

export const haproxy: ContenderKind = {
  name: 'haproxy',
  start: (field) =>
    startPlain('haproxy', ['-v'], field, haproxyConfiguration, (file) => ['-db', '-f', file]),
};

async function startPlain(
  name: string,
  probe: readonly string[],
  field: Field,
  configuration: (field: Field, port: number) => string,
  flags: (file: string) => readonly string[],
): Promise<Contender> {
  if (spawnSync(name, probe).error !== undefined) {
    throw new Error(`${name} is not installed (apt-get install ${name})`);
  }
  const port = await freePort();
  const file = path.join(field.folder, `${name}.conf`);
  writeFileSync(file, configuration(field, port));
  const started = startChild('contender', [name, ...flags(file)]);
  await until(started, () => answers(port));
  return {
    name,
    port,
    pids: processTree(started.child.pid ?? 0),
    adminUrl: null,
    warmUpMs: WARM_UP_MS,
    output: started.output,
    stop: () => stopChild(started),
  };
}

/** Whether a GET through the port reaches an engine. */
export async function answers(port: number): Promise<boolean> {
  try {
    return (await fetch(`http://127.0.0.1:${port}/v1/models`)).ok;
  } catch {
    return false;
  }
}

function nginxConfiguration({ engines, folder }: Field, port: number): string {
  const servers = engines.ports.map((engine) => `server 127.0.0.1:${engine};`).join(' ');
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${folder}/${kind};`)
    .join(' ');
  return `daemon off; worker_processes 1; worker_rlimit_nofile 20000;
pid ${folder}/nginx.pid; error_log ${folder}/nginx-error.log;
events { worker_connections 16384; }
http {
  access_log off; tcp_nodelay on; ${temporary}
  client_body_buffer_size 256k; client_max_body_size 32m;
  upstream engines { ${servers} keepalive 512; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:${port} backlog=8192; keepalive_requests 100000000;
    location / {
      proxy_pass http://engines; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_read_timeout 600s;
    }
  }
}
`;
}

function haproxyConfiguration({ engines }: Field, port: number): string {
  const servers = engines.ports.map((engine, at) => `  server e${at} 127.0.0.1:${engine}`);
  return `global
  nbthread 1
  maxconn 8000
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  option http-keep-alive
  option http-no-delay
  http-reuse always
frontend front
  bind 127.0.0.1:${port} backlog 8192
  default_backend engines
backend engines
  balance roundrobin
${servers.join('\n')}
`;
}
