// Which model serves a request that asks for another: by rule, by weight, the same one for all
// requests of a session, so that a canary does not change its mind in the middle of a conversation.
// Without a rule the request's header may name any model that is served.

import { assert } from '#contracts/assert.js';
import type { ModelRewrite } from '#contracts/decision.js';
import { RouterError } from '#contracts/errors.js';
import {
  MODEL_REWRITE_HEADER,
  OLD_MODEL_REWRITE_HEADER,
  SESSION_HEADERS,
} from '#contracts/header-names.js';
import type { Random } from '#contracts/random.js';
import type { RequestHead } from '#contracts/request.js';
import { shorten } from './admit.js';
import type { ResolvedModel } from './models.js';

/** Requests for `match.model` go to one of `targets`; each model is matched once. */
export interface RewriteRule {
  readonly match: { readonly model: string };
  /** At least one; weights are above 0. */
  readonly targets: readonly RewriteTarget[];
}

export interface RewriteTarget {
  readonly model: string;
  readonly weight: number;
}

/** What of a request says which model it wants. */
export type RewritingHead = Pick<RequestHead, 'headers' | 'telling'>;

const NO_HEADERS: RequestHead['headers'] = {};

/** The rules, the randomness they draw with, and who knows which models are served. */
export class RewriteChoice {
  readonly #byModel: ReadonlyMap<string, readonly RewriteTarget[]>;
  readonly #random: Random;
  readonly #resolve: (model: string) => ResolvedModel | RouterError;

  constructor(options: {
    readonly rules: readonly RewriteRule[];
    readonly random: Random;
    readonly resolve: (model: string) => ResolvedModel | RouterError;
  }) {
    this.#byModel = new Map(options.rules.map(({ match, targets }) => [match.model, targets]));
    this.#random = options.random;
    this.#resolve = options.resolve;
  }

  /** Whether a rule is for that model. */
  hasRule(model: string): boolean {
    return this.#byModel.has(model);
  }

  /**
   * The model that is to serve a request for `model`; null when that is the same one. Where there is a
   * rule the header names one of its targets, nothing else: what a rule sends on stays what it says.
   */
  of(model: string, head: RewritingHead): ModelRewrite | RouterError | null {
    if (this.#byModel.size === 0 && !head.telling) return null;
    const targets = this.#byModel.get(model);
    const headers = head.telling ? head.headers : NO_HEADERS;
    const wanted = headers[MODEL_REWRITE_HEADER] ?? headers[OLD_MODEL_REWRITE_HEADER] ?? '';
    if (targets === undefined) return this.#freely(model, wanted);
    if (wanted === '') return this.#draw(model, targets, headers);
    const named = targets.find((target) => target.model === wanted);
    if (named !== undefined) return rewrite(model, named, 'header', targets);
    const names = targets.map((target) => `\`${target.model}\``).join(', ');
    return refusal(`${instead(wanted, model)}; allowed: ${names}`);
  }

  /** A body that names no model has no place for another. */
  #freely(model: string, wanted: string): ModelRewrite | RouterError | null {
    if (wanted === '' || wanted === model || model === '') return null;
    const served = this.#resolve(wanted);
    if (served instanceof RouterError)
      return refusal(`${instead(wanted, model)}: ${served.message}`);
    return { model, target: wanted, chosenBy: 'header', share: 1 };
  }

  /** By a number in [0, 1): the session's own if there is one, else a new one. */
  #draw(
    model: string,
    targets: readonly RewriteTarget[],
    headers: RequestHead['headers'],
  ): ModelRewrite {
    const [only, second] = targets;
    if (only !== undefined && second === undefined) {
      return rewrite(model, only, 'only-target', targets);
    }
    const session = sessionOf(headers);
    if (session === '') {
      return rewrite(model, targetAt(targets, this.#random.next()), 'chance', targets);
    }
    const share = hashShare(`${model}\0${session}`);
    return rewrite(model, targetAt(targets, share), 'session', targets);
  }
}

function instead(wanted: string, model: string): string {
  return `the header asks for \`${shorten(wanted)}\` instead of \`${shorten(model)}\``;
}

function refusal(text: string): RouterError {
  return new RouterError('model_not_found', text, { param: MODEL_REWRITE_HEADER });
}

function rewrite(
  model: string,
  target: RewriteTarget,
  chosenBy: ModelRewrite['chosenBy'],
  targets: readonly RewriteTarget[],
): ModelRewrite {
  const share = target.weight / totalWeight(targets);
  return { model, target: target.model, chosenBy, share };
}

function sessionOf(headers: RequestHead['headers']): string {
  for (const name of SESSION_HEADERS) {
    const session = headers[name];
    if (session !== undefined && session !== '') return session;
  }
  return '';
}

/** The target whose part of the weights `share` of them falls into. */
function targetAt(targets: readonly RewriteTarget[], share: number): RewriteTarget {
  let left = share * totalWeight(targets);
  for (const target of targets) {
    left -= target.weight;
    if (left < 0) return target;
  }
  const last = targets.at(-1);
  assert(last !== undefined, 'a rule has targets');
  return last;
}

function totalWeight(targets: readonly RewriteTarget[]): number {
  return targets.reduce((sum, { weight }) => sum + weight, 0);
}

/** FNV-1a over UTF-16 units, then MurmurHash3's finaliser: equal on every router, without state. */
function hashShare(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 4_294_967_296;
}
