// Which keys a schema knows at a path, read off its JSON schema; for "did you mean".

import { z } from 'zod';
import type { ConfigurationPath } from './explain.js';

type JsonSchema = z.core.JSONSchema.BaseSchema;

/** Keys of the mapping at `path`, over all branches of a union. */
export function keysOf(schema: z.ZodType, path: ConfigurationPath): readonly string[] {
  let level: readonly JsonSchema[] = branches(z.toJSONSchema(schema, { io: 'input' }));
  for (const part of path) level = level.flatMap((node) => child(node, part)).flatMap(branches);
  return level.flatMap((node) => Object.keys(node.properties ?? {}));
}

function branches(node: JsonSchema): readonly JsonSchema[] {
  const inner = [...(node.anyOf ?? []), ...(node.oneOf ?? [])];
  return inner.length === 0 ? [node] : inner.flatMap(branches);
}

function child(node: JsonSchema, part: string | number): readonly JsonSchema[] {
  const found =
    typeof part === 'number' ? node.items : (node.properties?.[part] ?? node.additionalProperties);
  return typeof found === 'object' && !Array.isArray(found) ? [found] : [];
}
