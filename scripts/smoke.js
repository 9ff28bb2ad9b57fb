// What .ci/run does with the README's main command: `npm start`, one real request, a SIGTERM to npm
// alone, which must end the router cleanly.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const child = spawn(
  'npm',
  ['start', '--silent', '--', '--listen=127.0.0.1:0', '--admin=127.0.0.1:0'],
  {
    stdio: ['ignore', 'pipe', 'inherit'],
  },
);
const exited = new Promise((resolve) => child.once('exit', (code) => resolve(code)));
const lines = createInterface({ input: child.stdout });
const url = await new Promise((resolve, reject) => {
  lines.on('line', (line) => {
    const ready = /warmpath is ready on (http:\S+),/.exec(line);
    if (ready !== null) resolve(ready[1]);
  });
  void exited.then((code) => reject(new Error(`npm start ended with ${code}`)));
});
const [model] = (await (await fetch(`${url}/v1/models`)).json()).data;
const response = await fetch(`${url}/v1/completions`, {
  method: 'POST',
  body: JSON.stringify({ model: model.id, prompt: 'one two three', max_tokens: 3 }),
});
console.log(`npm start: ${response.status} from ${response.headers.get('x-warmpath-endpoint')}`);
child.kill('SIGTERM');
const code = await exited;
const gone = await fetch(`${url}/health`).then(
  () => false,
  () => true,
);
console.log(`npm start: ended with ${code}, the router is ${gone ? 'gone' : 'still there'}`);
process.exitCode = response.status === 200 && code === 0 && gone ? 0 : 1;
