// What modules need of a logger; the implementation (pino) lives in observability.

/** Fields of one log line. The field for an error is `error`. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Structured logger: a constant sentence plus fields. */
export interface Logger {
  /** False when `info` lines are not written; asked where their fields cost something to gather. */
  readonly tellsInfo?: boolean;
  debug(fields: LogFields, sentence: string): void;
  info(fields: LogFields, sentence: string): void;
  warn(fields: LogFields, sentence: string): void;
  error(fields: LogFields, sentence: string): void;
}
