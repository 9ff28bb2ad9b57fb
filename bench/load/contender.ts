// What stands between load and engines: a running process with a port. Every kind of contender is a
// function that starts one, or says why it cannot.

import { type Engines, startEngines } from './generator.js';

/** A contender that runs. */
export interface Contender {
  readonly name: string;
  readonly port: number;
  /** All its processes. */
  readonly pids: readonly number[];
  /** The router's admin port; null for everything else. */
  readonly adminUrl: string | null;
  /** Load before the first round, milliseconds: code is compiled, pools fill. */
  readonly warmUpMs: number;
  /** What it has written so far. */
  readonly output: () => string;
  readonly stop: () => Promise<void>;
}

/** Where an engine publishes KV events, and where it replays them. */
export interface EventSockets {
  readonly events: string;
  readonly replay: string;
}

/** What contenders stand in front of. */
export interface Field {
  readonly engines: Engines;
  readonly model: string;
  /** Scratch folder of this run. */
  readonly folder: string;
  /** Of each engine, in the order of their ports; empty where none publishes. */
  readonly eventSockets: readonly EventSockets[];
  /** Blocks that a precise router must know before it is measured. */
  readonly residentBlocks: number;
}

export interface ContenderKind {
  readonly name: string;
  /** Starts it; rejects with a sentence when it cannot run here. */
  readonly start: (field: Field) => Promise<Contender>;
}

/** No proxy at all, but the engines of the run: what they and the generator can do by themselves. */
export const direct: ContenderKind = {
  name: 'direct',
  start: ({ engines }) => Promise.resolve(directTo(engines, () => Promise.resolve())),
};

/** No proxy, but an engine where proxies run: the way to another core and back is in it. */
export const directElsewhere: ContenderKind = {
  name: 'direct',
  start: async ({ model }) => {
    const engines = await startEngines({ engines: 1, model }, 'contender');
    return directTo(engines, engines.stop);
  },
};

function directTo(engines: Engines, stop: () => Promise<void>): Contender {
  return {
    name: 'direct',
    port: engines.ports[0] ?? 0,
    pids: [engines.pid],
    adminUrl: null,
    warmUpMs: 500,
    output: () => '',
    stop,
  };
}
