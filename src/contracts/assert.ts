// Assertions for what the programmer guarantees. They stay on in production.

/**
 * Throws when `condition` is false: a bug in this program, never a caller's bad input. A message
 * with figures is a function where requests pass: making its text costs more than the check.
 */
export function assert(condition: boolean, message: string | (() => string)): asserts condition {
  if (condition) return;
  throw new Error(`assertion failed: ${typeof message === 'string' ? message : message()}`);
}

/** Marks the branch of an exhaustive `switch` that the types say cannot happen. */
export function assertNever(value: never): never {
  throw new Error(`assertion failed: unexpected value ${String(value)}`);
}
