// Reads a configuration: file, then flags over it, then defaults under it. Everything that is
// wrong is collected and thrown at once as a ConfigurationError; what comes out can be relied on.

import path from 'node:path';
import { ENDPOINTS_MAX } from '#contracts/limits.js';
import { ALL_INTERFACES, LOOPBACK, listenAddress } from './addresses.js';
import { assumedEvents, withAssumedEvents } from './assumed-events.js';
import { checkPolicy } from './build-policy.js';
import type {
  AssumedEvents,
  Configuration,
  ConfigurationFlags,
  EndpointSettings,
  EndpointsFileSettings,
  ListenAddress,
  ModelRewriteSettings,
  ModelSettings,
  PolicySettings,
} from './configuration.js';
import { expandEndpoints, withListedEndpoints } from './endpoints.js';
import { readEndpointsFile } from './endpoints-file.js';
import type { ConfigurationPath, ConfigurationProblem, Finding, Origin } from './explain.js';
import { ConfigurationError, pathText } from './explain.js';
import { type Overlay, overlayFlags } from './flags.js';
import { ignoredInPolicy } from './ignored-parameters.js';
import { withNeededProducers } from './needed-producers.js';
import { type ConfigurationPart, type MergedParts, mergeParts } from './parts.js';
import { POLICY_PROFILES, singleProfilePolicy } from './policies.js';
import { readParts } from './read-parts.js';
import { readRemains } from './remains.js';
import type { FileConfiguration } from './schema.js';
import { fileSchema } from './schema.js';
import { SecretFiles } from './secret-files.js';
import type { Environment } from './yaml-file.js';

/** The index takes endpoints in steps of this; its widths are whole words. */
const ENDPOINTS_STEP = 64;

export interface ConfigurationInput {
  /** Paths of the files: any number of our own, at most one of llm-d's. */
  readonly files: readonly string[];
  readonly flags: ConfigurationFlags;
  /** Variables for `${NAME}`. */
  readonly environment: Environment;
  /** Told of what has no effect, or another one than its author may expect. */
  readonly warn: (warning: ConfigurationProblem) => void;
}

/** Loads a configuration. Throws a ConfigurationError whose message lists every problem. */
export function loadConfiguration(input: ConfigurationInput): Configuration {
  const { parts, warnings, problems: unread } = readParts(input.files, input.environment);
  const problems: ConfigurationProblem[] = [...unread];
  const merged = mergeParts(parts, (problem) => problems.push(problem));
  const overlay = overlayFlags(merged.value, input.flags);
  problems.push(...overlay.problems);
  const originOf = (at: ConfigurationPath, part: 'key' | 'value'): Origin =>
    originIn(overlay, merged, at, part);
  const remains = readRemains(fileSchema, overlay.value);
  for (const { path: at, at: part, text } of remains.findings) {
    problems.push({ ...originOf(at, part), text });
  }
  if (remains.data === null) throw new ConfigurationError(problems);
  const report = (found: Finding): void => {
    const fault = remains.fault(found);
    if (fault !== null) problems.push({ ...originOf(fault.path, fault.at), text: fault.text });
  };
  const folderOf = (left: ConfigurationPath): string => {
    const at = remains.written(left);
    const part = overlay.flagOf(at) === null ? merged.partOf(at) : null;
    return part === null ? ownFolder(parts) : path.dirname(part.source);
  };
  const mentioned: ConfigurationProblem[] = [];
  const settled = settle(remains.data, {
    folderOf,
    report,
    writtenAs: (left) => pathText(remains.written(left)),
    mention: ({ path: at, at: part, text }) => mentioned.push({ ...originOf(at, part), text }),
    attempt: (read) => {
      try {
        return read();
      } catch (error) {
        if (!(error instanceof ConfigurationError)) throw error;
        problems.push(...error.problems);
        return null;
      }
    },
  });
  if (problems.length > 0) throw new ConfigurationError(problems);
  for (const warning of [...warnings, ...mentioned, ...withoutEndpoints(settled, parts)]) {
    input.warn(warning);
  }
  return settled;
}

/** Where paths of flags are looked for: beside the first file of ours. */
function ownFolder(parts: readonly ConfigurationPart[]): string {
  const own = parts.find(({ kind }) => kind === 'own');
  return own === undefined ? '.' : path.dirname(own.source);
}

/** llm-d finds endpoints in Kubernetes, so its files alone rarely name any. */
function withoutEndpoints(
  { endpoints, endpointsFile }: Configuration,
  parts: readonly ConfigurationPart[],
): readonly ConfigurationProblem[] {
  const file = parts.find(({ kind }) => kind === 'llm-d');
  if (file === undefined || endpoints.length > 0 || endpointsFile !== null) return [];
  const text =
    'names no endpoints, because llm-d finds them in Kubernetes; give them with --endpoint, as ' +
    '`endpoints` in warmpath.yaml, or in a file that `file-discovery` names';
  return [{ source: file.source, line: null, column: null, path: '', text }];
}

/** Says where a value stands: at the flag it came from, else in its file. */
function originIn(
  overlay: Overlay,
  merged: MergedParts,
  at: ConfigurationPath,
  part: 'key' | 'value',
): Origin {
  const flag = overlay.flagOf(at);
  const found = flag === null ? merged.partOf(at) : null;
  if (found !== null) return found.origin(at, part);
  return { source: flag ?? 'configuration', line: null, column: null, path: '' };
}

/** Where a value comes from and where faults go. */
interface Surroundings {
  /** What the path of a file that stands there is relative to: the folder of who says it. */
  folderOf(at: ConfigurationPath): string;
  readonly report: (finding: Finding) => void;
  /** What a path is called where it was written. */
  readonly writtenAs: (path: ConfigurationPath) => string;
  /** Told of what is valid and has no effect. */
  readonly mention: (finding: Finding) => void;
  /** Reads another file; null when something is wrong in it, which is kept for the end. */
  readonly attempt: <Value>(read: () => Value) => Value | null;
}

/** Looks up and checks what the schema cannot. */
function settle(file: FileConfiguration, surroundings: Surroundings): Configuration {
  const { folderOf, report, writtenAs, mention } = surroundings;
  const reportAt =
    (...at: ConfigurationPath) =>
    (text: string): void =>
      report({ path: at, at: 'value', text });
  const { scrape, timeouts, index, dataPlane } = file;
  const filesOf = (...at: ConfigurationPath) => new SecretFiles(folderOf(at));
  const own = expandEndpoints(file.endpoints, { files: filesOf('endpoints'), report, writtenAs });
  const assumed = assumedEvents(file.events, (field, text, missing = []) => {
    const restsOn = missing.map((name) => ['events', name]);
    report({ path: ['events', field], at: 'value', text, restsOn });
  });
  const endpointsFile = endpointsFileSettings(file, folderOf(['endpointsFile', 'path']), own);
  const endpoints =
    surroundings.attempt(() => readEndpoints({ own, endpointsFile, assumed })) ?? own;
  return {
    listen: listen(file.listen, ALL_INTERFACES, reportAt('listen')),
    // A port alone must not open the admin port to clients by accident.
    admin: listen(file.admin, LOOPBACK, reportAt('admin')),
    endpoints,
    endpointsFile,
    objectives: file.objectives,
    modelRewrites: modelRewrites(file, surroundings),
    models: models(file, filesOf, report),
    adapters: adapters(file, report),
    policy: policy(file, report, mention),
    scrape: {
      intervalMs: scrape.interval,
      timeoutMs: scrape.timeout,
      staleAfterMs: scrape.staleAfter,
    },
    probe: { intervalMs: file.probe.interval },
    events: { shards: file.events.shards, assumed },
    prompts: { workers: file.prompts.workers ?? null },
    index: {
      blockCapacity: index.blockCapacity ?? null,
      endpointCapacity: endpointCapacity(index.endpointCapacity, endpoints.length, report),
      hashSecret: filesOf('index', 'hashSecretFile').hashSecret(
        index.hashSecretFile,
        reportAt('index', 'hashSecretFile'),
      ),
    },
    timeouts: {
      connectMs: timeouts.connect,
      firstByteMs: timeouts.firstByte,
      stallMs: timeouts.stall,
      totalMs: timeouts.total,
      drainMs: timeouts.drain,
      decideMs: timeouts.decide,
    },
    dataPlane: { threads: dataPlane.threads ?? null, accept: dataPlane.accept },
    headers: file.headers,
    log: file.log,
  };
}

function endpointsFileSettings(
  { endpointsFile }: FileConfiguration,
  folder: string,
  beside: readonly EndpointSettings[],
): EndpointsFileSettings | null {
  if (endpointsFile === undefined) return null;
  return { ...endpointsFile, path: path.resolve(folder, endpointsFile.path), beside };
}

/** Reads the endpoints of a loaded configuration again; throws a ConfigurationError if it cannot. */
export function rereadEndpoints({
  endpoints,
  endpointsFile,
  events: { assumed },
}: Configuration): readonly EndpointSettings[] {
  if (endpointsFile === null) return endpoints;
  return readEndpoints({ own: endpointsFile.beside, endpointsFile, assumed });
}

interface EndpointSources {
  readonly own: readonly EndpointSettings[];
  readonly endpointsFile: EndpointsFileSettings | null;
  readonly assumed: AssumedEvents | null;
}

function readEndpoints({ own, endpointsFile, assumed }: EndpointSources) {
  const listed = endpointsFile === null ? [] : readEndpointsFile(endpointsFile.path);
  return withAssumedEvents(withListedEndpoints(own, listed), assumed);
}

/** A model that is matched twice would go to whichever entry is read first. */
function modelRewrites(
  { modelRewrites }: FileConfiguration,
  { report, writtenAs }: Pick<Surroundings, 'report' | 'writtenAs'>,
): readonly ModelRewriteSettings[] {
  const known = new Map<string, number>();
  for (const [position, { match, targets }] of modelRewrites.entries()) {
    const first = known.get(match.model);
    const at = ['modelRewrites', position];
    if (first === undefined) known.set(match.model, position);
    else {
      const text = `${match.model} is already rewritten by ${writtenAs(['modelRewrites', first])}`;
      report({ path: [...at, 'match', 'model'], at: 'value', text });
    }
    for (const [index, { model }] of targets.entries()) {
      if (targets.findIndex((target) => target.model === model) === index) continue;
      const text = `${model} is already a target; add their weights up`;
      report({ path: [...at, 'targets', index, 'model'], at: 'value', text });
    }
  }
  return modelRewrites;
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
  filesOf: (...at: ConfigurationPath) => SecretFiles,
  report: (finding: Finding) => void,
): Readonly<Record<string, ModelSettings>> {
  const entries = Object.entries(file.models).map(([id, { tokenizer, blockSize, cacheTokens }]) => {
    const at = ['models', id, 'tokenizer'];
    const fault = (text: string): void => report({ path: at, at: 'value', text });
    const found = filesOf(...at).tokenizer(tokenizer, fault);
    const sizes = { blockSize: blockSize ?? null, cacheTokens: cacheTokens ?? null };
    return [id, { tokenizer: found, ...sizes }] as const;
  });
  return Object.fromEntries(entries);
}

/** An adapter of an adapter could never be loaded, however it is spelt. */
function adapters(
  { adapters }: FileConfiguration,
  report: (finding: Finding) => void,
): Configuration['adapters'] {
  for (const [id, { parent }] of Object.entries(adapters)) {
    if (!Object.hasOwn(adapters, parent)) continue;
    const text = `${parent} is an adapter itself; give its base model`;
    report({ path: ['adapters', id, 'parent'], at: 'value', text });
  }
  return adapters;
}

function policy(
  file: FileConfiguration,
  report: (finding: Finding) => void,
  mention: (finding: Finding) => void,
): PolicySettings {
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
  const paths = {
    profile: (position: number): ConfigurationPath =>
      profile === undefined ? ['scheduling', 'profiles', position] : ['scheduling', 'profile'],
    profileHandler: ['scheduling', 'profileHandler'],
    producers: ['scheduling', 'producers'],
  };
  checkPolicy(settings, paths, report);
  for (const finding of ignoredInPolicy(settings, paths)) mention(finding);
  return withNeededProducers(settings, paths, { report, mention });
}
