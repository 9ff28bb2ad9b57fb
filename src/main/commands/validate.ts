// `warmpath validate`: reads configuration and flags and says what would run, starting nothing.

import { type CommandLineFlags, readConfiguration } from '../configuration.js';

/** Prints what the configuration amounts to; 0 when it is valid, 2 when it is not. */
export function validate(flags: CommandLineFlags, output: (line: string) => void): number {
  const configuration = readConfiguration(flags);
  if (configuration === null) return 2;
  const { listen, admin, endpoints, policy } = configuration;
  output('the configuration is valid');
  output(`  listens on  ${listen.host}:${listen.port}, admin on ${admin.host}:${admin.port}`);
  output(
    `  endpoints   ${endpoints.map(({ url }) => url).join(', ') || 'none (four simulated engines)'}`,
  );
  for (const { name, scorers, picker } of policy.profiles) {
    const terms = scorers.map(({ type, weight }) => `${type} × ${weight}`).join(', ');
    output(`  profile     ${name}: ${terms || 'no scorers'}, ${picker.type}`);
  }
  return 0;
}
