// An engine that answers at once, so that a load run measures the proxy before it: fixed JSON for
// requests, a stream of fixed chunks for `stream: true`, and what discovery and scraping ask for.
// Run as a process of its own; prints its port.

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const ANSWER = JSON.stringify({
  id: 'cmpl-0',
  object: 'text_completion',
  model: 'bench',
  choices: [{ index: 0, text: 'x'.repeat(700), finish_reason: 'stop' }],
  usage: { prompt_tokens: 10, completion_tokens: 1, total_tokens: 11 },
});
const MODELS = JSON.stringify({
  object: 'list',
  data: [{ id: 'bench', object: 'model', root: null, parent: null }],
});
const METRICS =
  'vllm:num_requests_running{model_name="bench",engine="0"} 0\n' +
  'vllm:num_requests_waiting{model_name="bench",engine="0"} 0\n' +
  'vllm:kv_cache_usage_perc{model_name="bench",engine="0"} 0\n';
const CHUNK = `data: ${JSON.stringify({ id: 'cmpl-0', choices: [{ index: 0, text: ' word' }] })}\n\n`;
const CHUNKS = 100;

const server = createServer((request, response) => {
  if (request.method === 'GET') {
    const text = request.url === '/v1/models' ? MODELS : request.url === '/metrics' ? METRICS : '';
    const known = text !== '' || request.url === '/health';
    response.writeHead(known ? 200 : 404).end(text);
    return;
  }
  let stream = false;
  request.on('data', (chunk: Buffer) => {
    stream ||= chunk.includes('"stream":true');
  });
  request.on('end', () => {
    if (!stream) {
      response.writeHead(200, { 'content-type': 'application/json' }).end(ANSWER);
      return;
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    let left = CHUNKS;
    const timer = setInterval(() => {
      left -= 1;
      response.write(CHUNK);
      if (left > 0) return;
      clearInterval(timer);
      response.end('data: [DONE]\n\n');
    }, 10);
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`);
});
