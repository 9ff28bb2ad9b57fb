// Reads a configuration: file, then flags over it, then defaults under it. Everything that is
// wrong is collected and thrown at once as a ConfigurationError; what comes out can be relied on.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { ENDPOINTS_MAX } from '#contracts/limits.js';
import { ALL_INTERFACES, LOOPBACK, listenAddress } from './addresses.js';
import { checkPolicy } from './build-policy.js';
import type {
  Configuration,
  ConfigurationFlags,
  ListenAddress,
  ModelSettings,
  PolicySettings,
} from './configuration.js';
import { expandEndpoints } from './endpoints.js';
import type { ConfigurationPath, ConfigurationProblem, Finding } from './explain.js';
import { ConfigurationError, findingsOf, pathText } from './explain.js';
import { type Overlay, overlayFlags } from './flags.js';
import { POLICY_PROFILES, singleProfilePolicy } from './policies.js';
import type { FileConfiguration } from './schema.js';
import { fileSchema } from './schema.js';
import { keysOf } from './schema-keys.js';
import { SecretFiles } from './secret-files.js';
import type { Environment, YamlFile } from './yaml-file.js';
import { readYaml } from './yaml-file.js';

/** The index takes endpoints in steps of this; its widths are whole words. */
const ENDPOINTS_STEP = 64;

export interface ConfigurationInput {
  /** Path of the YAML file; null for none. */
  readonly file: string | null;
  readonly flags: ConfigurationFlags;
  /** Variables for `${NAME}`. */
  readonly environment: Environment;
}

/** Loads a configuration. Throws a ConfigurationError whose message lists every problem. */
export function loadConfiguration(input: ConfigurationInput): Configuration {
  const yaml = input.file === null ? null : readFile(input.file, input.environment);
  const overlay = overlayFlags(yaml?.value ?? {}, input.flags);
  const problems: ConfigurationProblem[] = [...overlay.problems];
  const report = (finding: Finding): void => {
    problems.push(locate(finding, overlay, yaml, input.file));
  };
  const parsed = fileSchema.safeParse(overlay.value);
  if (!parsed.success) {
    const keys = (at: ConfigurationPath): readonly string[] => keysOf(fileSchema, at);
    for (const finding of findingsOf(parsed.error.issues, overlay.value, keys)) report(finding);
    throw new ConfigurationError(problems);
  }
  const folder = input.file === null ? '.' : path.dirname(input.file);
  const settled = settle(parsed.data, new SecretFiles(folder), report);
  if (problems.length > 0) throw new ConfigurationError(problems);
  return settled;
}

function readFile(file: string, environment: Environment): YamlFile {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const problem = { source: file, line: null, column: null, path: '' };
    throw new ConfigurationError([{ ...problem, text: `cannot be read: ${reason}` }]);
  }
  return readYaml(text, file, environment);
}

/** Says where a finding stands: at the flag it came from, else in the file. */
function locate(
  { path: at, at: part, text }: Finding,
  overlay: Overlay,
  yaml: YamlFile | null,
  file: string | null,
): ConfigurationProblem {
  const flag = overlay.flagOf(at);
  if (flag !== null || yaml === null) {
    return { source: flag ?? 'configuration', line: null, column: null, path: '', text };
  }
  return { source: file ?? '', ...yaml.place(at, part), path: pathText(at), text };
}

/** Looks up and checks what the schema cannot. */
function settle(
  file: FileConfiguration,
  files: SecretFiles,
  report: (finding: Finding) => void,
): Configuration {
  const reportAt =
    (...at: ConfigurationPath) =>
    (text: string): void =>
      report({ path: at, at: 'value', text });
  const { scrape, timeouts, index, dataPlane } = file;
  const endpoints = expandEndpoints(file.endpoints, files, report);
  return {
    listen: listen(file.listen, ALL_INTERFACES, reportAt('listen')),
    // A port alone must not open the admin port to clients by accident.
    admin: listen(file.admin, LOOPBACK, reportAt('admin')),
    endpoints,
    models: models(file, files, report),
    policy: policy(file, report),
    scrape: {
      intervalMs: scrape.interval,
      timeoutMs: scrape.timeout,
      staleAfterMs: scrape.staleAfter,
    },
    probe: { intervalMs: file.probe.interval },
    events: file.events,
    prompts: { workers: file.prompts.workers ?? null },
    index: {
      blockCapacity: index.blockCapacity ?? null,
      endpointCapacity: endpointCapacity(index.endpointCapacity, endpoints.length, report),
      hashSecret: files.hashSecret(index.hashSecretFile, reportAt('index', 'hashSecretFile')),
    },
    timeouts: {
      connectMs: timeouts.connect,
      firstByteMs: timeouts.firstByte,
      stallMs: timeouts.stall,
      drainMs: timeouts.drain,
      decideMs: timeouts.decide,
    },
    dataPlane: { threads: dataPlane.threads ?? null, accept: dataPlane.accept },
    headers: file.headers,
    log: file.log,
  };
}

function listen(text: string, bareHost: string, fault: (text: string) => void): ListenAddress {
  const address = listenAddress(text, bareHost);
  if (!('fault' in address)) return address;
  fault(address.fault);
  return { host: '', port: 0 };
}

/**
 * Slots for the endpoints, in the index's steps of 64; room for as many again, because ranks are
 * only known later.
 */
function endpointCapacity(
  configured: number | undefined,
  count: number,
  report: (finding: Finding) => void,
): number {
  if (configured !== undefined && count > configured) {
    const text = `${count} endpoints are configured, more than that`;
    report({ path: ['index', 'endpointCapacity'], at: 'value', text });
  }
  // A few more than asked for cost nothing.
  const steps = Math.ceil((configured ?? 2 * count) / ENDPOINTS_STEP);
  return Math.min(ENDPOINTS_MAX, Math.max(1, steps) * ENDPOINTS_STEP);
}

function models(
  file: FileConfiguration,
  files: SecretFiles,
  report: (finding: Finding) => void,
): Readonly<Record<string, ModelSettings>> {
  const entries = Object.entries(file.models).map(([id, { tokenizer, blockSize }]) => {
    const at = ['models', id, 'tokenizer'];
    const fault = (text: string): void => report({ path: at, at: 'value', text });
    const found = files.tokenizer(tokenizer, fault);
    return [id, { tokenizer: found, blockSize: blockSize ?? null }] as const;
  });
  return Object.fromEntries(entries);
}

function policy(file: FileConfiguration, report: (finding: Finding) => void): PolicySettings {
  const { scheduling } = file;
  if (scheduling === undefined) {
    return singleProfilePolicy(POLICY_PROFILES[file.policy ?? 'precise']);
  }
  if (file.policy !== undefined) {
    const text = 'give either `policy` or `scheduling`, not both';
    report({ path: ['scheduling'], at: 'key', text });
  }
  const { profile, profiles, profileHandler, producers } = scheduling;
  if ((profile === undefined) === (profiles === undefined)) {
    const text = 'give either `profile` or `profiles`';
    report({ path: ['scheduling'], at: 'key', text });
  }
  const settings: PolicySettings = {
    profiles: profile === undefined ? (profiles ?? []) : [profile],
    profileHandler,
    producers,
  };
  if (settings.profiles.length === 0) return settings;
  const paths = {
    profile: (position: number): ConfigurationPath =>
      profile === undefined ? ['scheduling', 'profiles', position] : ['scheduling', 'profile'],
    profileHandler: ['scheduling', 'profileHandler'],
    producers: ['scheduling', 'producers'],
  };
  checkPolicy(settings, paths, report);
  return settings;
}
