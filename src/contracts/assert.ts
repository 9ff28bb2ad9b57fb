// Assertions for what the programmer guarantees. They stay on in production.

/** Throws when `condition` is false: a bug in this program, never a caller's bad input. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}

/** Marks the branch of an exhaustive `switch` that the types say cannot happen. */
export function assertNever(value: never): never {
  throw new Error(`assertion failed: unexpected value ${String(value)}`);
}
