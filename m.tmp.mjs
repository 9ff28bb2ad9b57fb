import { createRequire } from 'node:module';
const require = createRequire(import.meta.url);
for (const f of process.argv.slice(2)) { const a=performance.now(); require(f); console.log(f,(performance.now()-a).toFixed(1)); }
