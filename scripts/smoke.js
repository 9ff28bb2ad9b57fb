// What .ci/run does with what users install: `npm start`, then `npm run package`, whose tarball is
// installed in an empty folder and run there with neither cargo nor this checkout in sight.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { cargoProblem } from './build-native.js';
import { serveOnce } from './serve-once.js';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
let fine = await serveOnce('npm start', 'npm', ['start', '--silent', '--'], { cwd: root });
if (cargoProblem() === null) fine = (await packaged()) && fine;
process.exitCode = fine ? 0 : 1;

async function packaged() {
  const home = mkdtempSync(path.join(tmpdir(), 'warmpath-package-'));
  try {
    npm(['run', '--silent', 'package', '--', '--pack-destination', home], root);
    const [tarball] = readdirSync(home).filter((name) => name.endsWith('.tgz'));
    npm(['install', '--prefix', home, '--omit=dev', '--silent', path.join(home, tarball)], home);
    const command = path.join(home, 'node_modules/.bin/warmpath');
    const environment = { PATH: path.dirname(process.execPath), HOME: home };
    const options = { cwd: home, env: environment };
    const { stdout } = spawnSync(command, ['version'], { ...options, encoding: 'utf8' });
    console.log(`package: ${stdout.trim()}`);
    const served = await serveOnce('package', command, ['serve'], options);
    return served && stdout.includes('core native,');
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

function npm(words, cwd) {
  const { status } = spawnSync('npm', words, { cwd, stdio: ['ignore', 2, 2] });
  if (status !== 0) throw new Error(`npm ${words[0]} ${words[1]} ended with ${status}`);
}
