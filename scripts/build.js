// Installs and compiles, whatever is there.
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildNative } from './build-native.js';
import { build, install } from './prepare.js';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
install(root);
build(root, { force: true });
buildNative(root);
