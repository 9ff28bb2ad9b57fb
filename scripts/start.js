// `npm start`: install, compile, run the router with the arguments given after `--`.
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildNative } from './build-native.js';
import { build, install } from './prepare.js';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
install(root);
build(root);
buildNative(root, { explain: false });
await import('./warmpath.js');
