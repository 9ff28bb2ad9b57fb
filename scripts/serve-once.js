// Starts a router as users do and sends it one real request; then a SIGTERM to the process that was
// started, which must end the router cleanly. Returns whether all of that went well.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const FREE_PORTS = ['--listen=127.0.0.1:0', '--admin=127.0.0.1:0'];

/** `name` is what the printed lines call it; `options` are spawn's. */
export async function serveOnce(name, command, words, options = {}) {
  const child = spawn(command, [...words, ...FREE_PORTS], {
    stdio: ['ignore', 'pipe', 'inherit'],
    ...options,
  });
  const exited = new Promise((resolve) => child.once('exit', (code) => resolve(code)));
  const lines = createInterface({ input: child.stdout });
  const url = await new Promise((resolve, reject) => {
    lines.on('line', (line) => {
      const ready = /warmpath is ready on (http:\S+),/.exec(line);
      if (ready !== null) resolve(ready[1]);
    });
    void exited.then((code) => reject(new Error(`${name} ended with ${code}`)));
  });
  const [model] = (await (await fetch(`${url}/v1/models`)).json()).data;
  const response = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    body: JSON.stringify({ model: model.id, prompt: 'one two three', max_tokens: 3 }),
  });
  console.log(`${name}: ${response.status} from ${response.headers.get('x-warmpath-endpoint')}`);
  child.kill('SIGTERM');
  const code = await exited;
  const gone = await fetch(`${url}/health`).then(
    () => false,
    () => true,
  );
  console.log(`${name}: ended with ${code}, the router is ${gone ? 'gone' : 'still there'}`);
  return response.status === 200 && code === 0 && gone;
}
