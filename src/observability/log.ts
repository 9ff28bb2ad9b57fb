// The program's logger: pino, one JSON object per line on the given stream. Implements the Logger
// contract; pino escapes control characters, so no field can start a line of its own.

import { type Logger as PinoLogger, pino, stdSerializers } from 'pino';
import type { LogFields, Logger } from '#contracts/logger.js';

export interface LoggerOptions {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  /** Wall-clock time of a line, ISO 8601. */
  readonly isoNow: () => string;
  /** Where lines go. */
  readonly destination: { write(line: string): void };
}

/** Makes the logger. Lines carry level, time (ISO), the fields and `message`. */
export function createLogger(options: LoggerOptions): Logger {
  const settings = {
    level: options.level,
    base: null,
    messageKey: 'message',
    timestamp: () => `,"time":"${options.isoNow()}"`,
    formatters: { level: (label: string): object => ({ level: label }) },
    serializers: { error: describeError },
  };
  return new PinoBackedLogger(pino(settings, options.destination));
}

/** An error with its causes; anything else as it is. */
function describeError(error: unknown): unknown {
  return error instanceof Error ? stdSerializers.errWithCause(error) : error;
}

class PinoBackedLogger implements Logger {
  readonly tellsInfo: boolean;
  readonly #logger: PinoLogger;

  constructor(logger: PinoLogger) {
    this.#logger = logger;
    this.tellsInfo = logger.isLevelEnabled('info');
  }

  debug(fields: LogFields, sentence: string): void {
    this.#logger.debug(fields, sentence);
  }

  info(fields: LogFields, sentence: string): void {
    this.#logger.info(fields, sentence);
  }

  warn(fields: LogFields, sentence: string): void {
    this.#logger.warn(fields, sentence);
  }

  error(fields: LogFields, sentence: string): void {
    this.#logger.error(fields, sentence);
  }
}
