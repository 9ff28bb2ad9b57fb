// Faults that a simulated engine commits on purpose: lost, late and repeated event messages, HTTP
// errors, stalled streams. Set at start and through POST /admin/faults; each is used up after
// `count` times, or happens with a probability until it is set anew.

import type { Random } from '#contracts/random.js';

/** When a fault strikes: the next `count` times, or each time with `probability`. */
export interface FaultRule {
  readonly count?: number;
  readonly probability?: number;
}

export interface EngineFaults {
  /** Event messages that are not sent; `seq` advances. `fromReplay` loses them for good. */
  readonly dropEvents?: FaultRule & { readonly fromReplay?: boolean };
  /** Event messages sent `delayMs` later, later ones not waiting for them. */
  readonly delayEvents?: FaultRule & { readonly delayMs: number };
  /** Event messages sent twice. */
  readonly duplicateEvents?: FaultRule;
  /** Generating requests that are answered with `status` instead. */
  readonly httpErrors?: FaultRule & { readonly status: number };
  /** Streams that send nothing more after `afterTokens` tokens, but stay open. */
  readonly stallStreams?: FaultRule & { readonly afterTokens: number };
  /** Streams whose connection is cut after `afterTokens` tokens. */
  readonly cutStreams?: FaultRule & { readonly afterTokens: number };
}

/** Names of all faults, for error messages. */
export const FAULT_NAMES = [
  'dropEvents',
  'delayEvents',
  'duplicateEvents',
  'httpErrors',
  'stallStreams',
  'cutStreams',
] as const;
export type FaultName = (typeof FAULT_NAMES)[number];

const NUMBER_FIELDS: Readonly<Record<string, readonly [number, number]>> = {
  count: [0, 1e9],
  probability: [0, 1],
  delayMs: [0, 3_600_000],
  status: [400, 599],
  afterTokens: [0, 1e9],
};
const REQUIRED: Readonly<Partial<Record<FaultName, string>>> = {
  delayEvents: 'delayMs',
  httpErrors: 'status',
  stallStreams: 'afterTokens',
  cutStreams: 'afterTokens',
};

/** The faults of one engine and how often they will still strike. */
export class FaultPlan {
  readonly #random: Random;
  #faults: EngineFaults = {};
  readonly #left = new Map<FaultName, number>();

  constructor(random: Random, faults: EngineFaults = {}) {
    this.#random = random;
    this.set(faults);
  }

  get faults(): EngineFaults {
    return this.#faults;
  }

  /** Replaces all faults; counts start anew. */
  set(faults: EngineFaults): void {
    this.#faults = faults;
    this.#left.clear();
    for (const name of FAULT_NAMES) {
      const count = faults[name]?.count;
      if (count !== undefined) this.#left.set(name, count);
    }
  }

  /** The fault if it strikes now, else null. Each call is one occasion. */
  strike<Name extends FaultName>(name: Name): NonNullable<EngineFaults[Name]> | null {
    const fault = this.#faults[name];
    if (fault === undefined) return null;
    const left = this.#left.get(name);
    if (left === 0) return null;
    if (fault.probability !== undefined && this.#random.next() >= fault.probability) return null;
    if (left !== undefined) this.#left.set(name, left - 1);
    return fault as NonNullable<EngineFaults[Name]>;
  }
}

/** Reads faults from JSON; a string says what is wrong with them. */
export function parseFaults(value: unknown): EngineFaults | string {
  if (!isRecord(value)) return 'faults must be a JSON object';
  for (const [name, fault] of Object.entries(value)) {
    if (!FAULT_NAMES.some((known) => known === name)) {
      return `unknown fault ${JSON.stringify(name)}; known are ${FAULT_NAMES.join(', ')}`;
    }
    if (!isRecord(fault)) return `${name} must be an object`;
    const problem = ruleProblem(name as FaultName, fault);
    if (problem !== null) return problem;
  }
  return value as EngineFaults;
}

function ruleProblem(name: FaultName, fault: Readonly<Record<string, unknown>>): string | null {
  const required = REQUIRED[name];
  if (required !== undefined && fault[required] === undefined) return `${name} needs ${required}`;
  for (const [field, value] of Object.entries(fault)) {
    if (field === 'fromReplay' && name === 'dropEvents') {
      if (typeof value !== 'boolean') return `${name}.fromReplay must be true or false`;
      continue;
    }
    const range = NUMBER_FIELDS[field];
    const optional = field === 'count' || field === 'probability';
    if (range === undefined || !(optional || field === required)) {
      return `${name} has no field ${JSON.stringify(field)}`;
    }
    const [least, most] = range;
    if (typeof value !== 'number' || !(value >= least && value <= most)) {
      return `${name}.${field} must be a number from ${least} to ${most}`;
    }
  }
  return null;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
