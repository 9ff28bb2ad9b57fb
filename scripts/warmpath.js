#!/usr/bin/env node
// The `warmpath` command.
await import('../dist/src/main/index.js');
