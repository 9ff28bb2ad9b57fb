// Reads a file that lists endpoints in the form of llm-d's `file-discovery`: name, namespace, address,
// port and labels of each. Read at the start and, where it is watched, after every change.

import { readFileSync } from 'node:fs';
import { z } from 'zod';
import type { ConfigurationPath, ConfigurationProblem, Origin } from './explain.js';
import { ConfigurationError, pathText } from './explain.js';
import { readRemains } from './remains.js';
import { readYaml } from './yaml-file.js';

/** As llm-d has it; no list of ENDPOINTS_MAX entries comes near. */
const FILE_BYTES_MAX: number = 1024 * 1024;

const port = z
  .union([z.string(), z.number()], { error: 'expected a port' })
  .transform(Number)
  .pipe(z.int({ error: 'expected a port' }).min(1).max(65_535));

const entry = z.strictObject({
  name: z.string().min(1),
  namespace: z.string().min(1).default('default'),
  address: z.string().regex(/^[\w.:-]+$/, 'expected an IP address or a host name'),
  port,
  labels: z.record(z.string(), z.string()).default({}),
});

const schema = z.strictObject({ endpoints: z.array(entry) });

/** One endpoint of the file. */
export interface ListedEndpoint {
  readonly url: string;
  /** `namespace/name`. */
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly origin: Origin;
}

/** Reads the file; throws a ConfigurationError with everything that is wrong in it. */
export function readEndpointsFile(file: string): readonly ListedEndpoint[] {
  const yaml = readYaml(readText(file), file, null);
  const originOf = (path: ConfigurationPath, at: 'key' | 'value'): Origin => ({
    source: file,
    ...yaml.place(path, at),
    path: pathText(path),
  });
  const { data, findings, written } = readRemains(schema, yaml.value);
  const problems: ConfigurationProblem[] = findings.map(({ path, at, text }) => ({
    ...originOf(path, at),
    text,
  }));
  const endpoints = data?.endpoints ?? [];
  const placeOf = (position: number): ConfigurationPath => written(['endpoints', position]);
  const known = new Map<string, number>();
  for (const [position, { namespace, name }] of endpoints.entries()) {
    const first = known.get(`${namespace}/${name}`);
    if (first === undefined) known.set(`${namespace}/${name}`, position);
    else {
      const text = `${pathText(placeOf(first))} has the same name and namespace`;
      problems.push({ ...originOf([...placeOf(position), 'name'], 'value'), text });
    }
  }
  if (problems.length > 0) throw new ConfigurationError(problems);
  return endpoints.map(({ namespace, name, address, port, labels }, position) => ({
    id: `${namespace}/${name}`,
    url: `http://${address.includes(':') ? `[${address}]` : address}:${port}`,
    labels,
    origin: originOf(['endpoints', position], 'value'),
  }));
}

function readText(file: string): string {
  const fault = (text: string) =>
    new ConfigurationError([{ source: file, line: null, column: null, path: '', text }]);
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw fault(`cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (Buffer.byteLength(text) > FILE_BYTES_MAX) {
    throw fault(`is larger than ${FILE_BYTES_MAX} bytes`);
  }
  return text;
}
