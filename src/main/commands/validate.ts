// `warmpath validate`: reads configuration and flags and says what would run, starting nothing.

import { type CommandLineFlags, readConfiguration } from '../configuration.js';

/** Prints what the configuration amounts to; 0 when it is valid, 2 when it is not. */
export function validate(flags: CommandLineFlags, output: (line: string) => void): number {
  const configuration = readConfiguration(flags);
  if (configuration === null) return 2;
  const { listen, admin, endpoints, profile } = configuration;
  output('the configuration is valid');
  output(`  listens on  ${listen.host}:${listen.port}, admin on ${admin.host}:${admin.port}`);
  output(
    `  endpoints   ${endpoints.map(({ url }) => url).join(', ') || 'none (four simulated engines)'}`,
  );
  const scorers = profile.scorers.map(({ type, weight }) => `${type} × ${weight}`).join(', ');
  output(`  profile     ${profile.name}: ${scorers || 'no scorers'}, ${profile.picker.type}`);
  return 0;
}
