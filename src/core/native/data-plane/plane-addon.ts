// What the addon exports for the data plane, and the order of numbers in the memory both sides
// share. `native/binding/src/data_plane.rs` and `native/core/src/data_plane/outbox.rs` write it.

export interface PlaneAddon {
  /** `options` is JSON; `records` and `orders` stay registered until the process ends. */
  planeCreate(
    store: number,
    options: string,
    wake: () => void,
    records: Float64Array,
    orders: Uint32Array,
  ): number;
  /** Address and port, separated by a blank; throws when it cannot listen. */
  /** Prompts are encoded before their requests are announced. */
  planeAttachEncoder(plane: number, encoder: number): void;
  planeStart(plane: number): string;
  planeSetEndpoints(plane: number, endpoints: string): void;
  planeSetUsable(plane: number, slot: number, usable: boolean): void;
  /** Count of records taken, plus `TROUBLES` when there are lines for the log. */
  planeTake(plane: number): number;
  planeDelivered(plane: number): void;
  planeHead(plane: number, slot: number, generation: number): string | null;
  planeForward(plane: number, slot: number, generation: number, text: string): boolean;
  planeReject(
    plane: number,
    slot: number,
    generation: number,
    error: number,
    body: string,
  ): boolean;
  planeRespond(
    plane: number,
    slot: number,
    generation: number,
    status: number,
    headers: string,
    body: Uint8Array,
  ): boolean;
  planeTroubles(plane: number): readonly string[];
  planeInFlight(plane: number): number;
  planeIsIdle(plane: number): boolean;
  planeStats(plane: number): readonly number[];
  planeSetTime(plane: number, nowMs: number): void;
  planeDrain(plane: number, step: number): void;
  planeStop(plane: number): void;
  planeClose(plane: number): void;
}

/** Numbers of one record. */
export const RECORD_NUMBERS = 16;
/** Records taken at once. */
export const RECORDS_MAX = 256;
/** Numbers of one order: three targets, a thousand patches. */
export const ORDER_NUMBERS = 4096;

/** Kinds of records by their number. */
export const RECORD_KINDS = ['request', 'attempt-failed', 'first-byte', 'done'] as const;

/** Steps of draining by their number. */
export const DRAIN_STEP = { stopListening: 0, terminate: 1, cut: 2 } as const;

/** Added to the count of records; more than there can be. */
export const TROUBLES = 65_536;
