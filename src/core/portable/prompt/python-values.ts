// Values of template variables as Python would print them: numbers, lists and dictionaries by str()
// and repr(), and json.dumps for the tojson filter. Used by template-runtime.ts. The template
// package does not export its value classes, so they are taken from values it has made.

import { Environment } from '@huggingface/jinja';
import type { JsonValue } from '#core/json-value.js';
import { markedNumber, unmarkedKey } from './json-value.js';

/** A value inside a running template. */
export interface RuntimeValue {
  readonly type: string;
  readonly value: unknown;
  /** The number as JSON wrote it, when a double would lose that. */
  source?: string;
}

type ValueClass<Value> = new (value: Value) => RuntimeValue;
/** A function as templates call it; keyword arguments come last as a KeywordArgumentsValue. */
export type TemplateFunction = (parameters: RuntimeValue[]) => RuntimeValue;

function classOf<Value>(sample: unknown): ValueClass<Value> {
  const value = new Environment().set('sample', sample);
  return value.constructor as unknown as ValueClass<Value>;
}

export const StringValue: ValueClass<string> = classOf('');
export const IntegerValue: ValueClass<number> = classOf(1);
export const FloatValue: ValueClass<number> = classOf(0.5);
export const BooleanValue: ValueClass<boolean> = classOf(true);
export const NullValue: ValueClass<null> = classOf(null);
export const UndefinedValue: ValueClass<undefined> = classOf(undefined);
export const ArrayValue: ValueClass<RuntimeValue[]> = classOf([]);
export const ObjectValue: ValueClass<Map<string, RuntimeValue>> = classOf({});
export const FunctionValue: ValueClass<TemplateFunction> = classOf(() => null);

/** Makes the template value of a parsed JSON value, marked numbers and keys included. */
export function toRuntime(value: JsonValue | undefined): RuntimeValue {
  if (value === undefined) return new UndefinedValue(undefined);
  if (value === null) return new NullValue(null);
  if (typeof value === 'string') return stringOrNumber(value);
  if (typeof value === 'boolean') return new BooleanValue(value);
  if (typeof value === 'number') {
    return Number.isInteger(value) ? new IntegerValue(value) : new FloatValue(value);
  }
  if (Array.isArray(value)) return new ArrayValue(value.map(toRuntime));
  const entries = Object.entries(value as { readonly [key: string]: JsonValue });
  return new ObjectValue(
    new Map(entries.map(([key, item]) => [unmarkedKey(key), toRuntime(item)])),
  );
}

/** Python's str(): what an output tag or the ~ operator prints. */
export function pythonText(value: RuntimeValue): string {
  if (value.type === 'StringValue') return value.value as string;
  if (value.type === 'UndefinedValue') return '';
  return pythonRepr(value);
}

/** Python's repr(). */
export function pythonRepr(value: RuntimeValue): string {
  switch (value.type) {
    case 'StringValue':
      return quoted(value.value as string);
    case 'BooleanValue':
      return value.value === true ? 'True' : 'False';
    case 'IntegerValue':
    case 'FloatValue':
      return numberText(value);
    case 'NullValue':
      return 'None';
    case 'UndefinedValue':
      return 'Undefined';
    case 'ArrayValue':
      return `[${items(value).map(pythonRepr).join(', ')}]`;
    case 'TupleValue':
      return tuple(items(value).map(pythonRepr));
    case 'FunctionValue':
      throw new Error('a function cannot be printed');
    default: {
      const pairs = [...entries(value)].map(([key, item]) => `${quoted(key)}: ${pythonRepr(item)}`);
      return `{${pairs.join(', ')}}`;
    }
  }
}

export interface DumpOptions {
  readonly indent: number | null;
  readonly ensureAscii: boolean;
  readonly separators: readonly [string, string] | null;
  readonly sortKeys: boolean;
}

/** Python's json.dumps as transformers' tojson filter calls it. */
export function pythonDumps(value: RuntimeValue, options: DumpOptions, depth = 0): string {
  switch (value.type) {
    case 'StringValue':
      return jsonString(value.value as string, options.ensureAscii);
    case 'BooleanValue':
      return value.value === true ? 'true' : 'false';
    case 'IntegerValue':
    case 'FloatValue':
      return numberText(value);
    case 'NullValue':
      return 'null';
    case 'ArrayValue':
    case 'TupleValue': {
      const parts = items(value).map((item) => pythonDumps(item, options, depth + 1));
      return bracketed('[', parts, ']', options, depth);
    }
    case 'ObjectValue': {
      const [, colon] = separatorsOf(options);
      const sorted = options.sortKeys
        ? [...entries(value)].sort(([a], [b]) => (a < b ? -1 : Number(a > b)))
        : [...entries(value)];
      const parts = sorted.map(([key, item]) => {
        const text = pythonDumps(item, options, depth + 1);
        return `${jsonString(key, options.ensureAscii)}${colon}${text}`;
      });
      return bracketed('{', parts, '}', options, depth);
    }
    default:
      throw new Error(`Object of type ${value.type} is not JSON serializable`);
  }
}

export function items(value: RuntimeValue): readonly RuntimeValue[] {
  return value.value as readonly RuntimeValue[];
}

export function entries(value: RuntimeValue): ReadonlyMap<string, RuntimeValue> {
  return value.value as ReadonlyMap<string, RuntimeValue>;
}

/** repr() of a Python float: shortest digits, exponent from 1e16 and below 1e-4 on. */
export function pythonFloat(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf';
  if (value === 0) return Object.is(value, -0) ? '-0.0' : '0.0';
  const [digits = '', power = '0'] = value.toExponential().split('e');
  const exponent = Number(power);
  if (exponent >= 16 || exponent < -4) {
    const sign = exponent < 0 ? '-' : '+';
    return `${digits}e${sign}${String(Math.abs(exponent)).padStart(2, '0')}`;
  }
  // Below 1e21 JavaScript prints all digits, from 1e-6 on without exponent.
  const text = String(value);
  const plain = text.includes('e') ? value.toFixed(20).replace(/0+$/, '') : text;
  return plain.includes('.') ? plain : `${plain}.0`;
}

function stringOrNumber(text: string): RuntimeValue {
  const source = markedNumber(text);
  if (source === null) return new StringValue(text);
  const number = Number(source);
  const isFloat = /[.eE]/.test(source);
  const value = isFloat ? new FloatValue(number) : new IntegerValue(number);
  if (!isFloat) value.source = String(BigInt(source));
  return value;
}

function numberText(value: RuntimeValue): string {
  if (value.source !== undefined) return value.source;
  const number = value.value as number;
  if (value.type === 'FloatValue') return pythonFloat(number);
  return Number.isSafeInteger(number) ? String(number) : String(BigInt(number));
}

function tuple(parts: readonly string[]): string {
  return parts.length === 1 ? `(${parts[0]},)` : `(${parts.join(', ')})`;
}

/** repr() of a string: single quotes unless only those occur in it. */
function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  let out = quote;
  for (const char of text) {
    if (char === '\\' || char === quote) out += `\\${char}`;
    else if (char === '\n') out += '\\n';
    else if (char === '\r') out += '\\r';
    else if (char === '\t') out += '\\t';
    else out += unprintable(char);
  }
  return out + quote;
}

function unprintable(char: string): string {
  const code = char.codePointAt(0) ?? 0;
  if (char === ' ' || !/[\p{C}\p{Z}]/u.test(char)) return char;
  if (code <= 0xff) return `\\x${code.toString(16).padStart(2, '0')}`;
  if (code <= 0xffff) return `\\u${code.toString(16).padStart(4, '0')}`;
  return `\\U${code.toString(16).padStart(8, '0')}`;
}

function jsonString(text: string, ensureAscii: boolean): string {
  const json = JSON.stringify(text);
  if (!ensureAscii) return json;
  return json.replace(
    /[\x7f-\uffff]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function separatorsOf(options: DumpOptions): readonly [string, string] {
  return options.separators ?? (options.indent === null ? [', ', ': '] : [',', ': ']);
}

function bracketed(
  open: string,
  parts: readonly string[],
  close: string,
  options: DumpOptions,
  depth: number,
): string {
  if (parts.length === 0) return open + close;
  const [comma] = separatorsOf(options);
  if (options.indent === null) return open + parts.join(comma) + close;
  const inner = `\n${' '.repeat(options.indent * (depth + 1))}`;
  const outer = `\n${' '.repeat(options.indent * depth)}`;
  return open + inner + parts.join(comma + inner) + outer + close;
}
