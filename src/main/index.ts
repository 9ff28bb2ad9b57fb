// Entry point of the `warmpath` command: parses arguments, runs one subcommand, exits with its code.

import { runCommandLine } from './cli.js';

process.exitCode = await runCommandLine(process.argv.slice(2));
