// String methods and filters as Python has them, where the template package follows JavaScript:
// strip with characters, whitespace, lengths in code points. Installed once per thread by
// template-runtime.ts, by replacing the package's method table of strings.

import {
  ArrayValue,
  BooleanValue,
  FunctionValue,
  IntegerValue,
  items,
  type RuntimeValue,
  StringValue,
} from './python-values.js';

/** What str.strip() removes: JavaScript's trim takes U+FEFF too and leaves U+001C-1F and U+0085. */
const WHITESPACE: ReadonlySet<string> = new Set(
  '\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000',
);

/** str.strip, lstrip, rstrip; `characters` null strips whitespace. */
export function strip(text: string, characters: string | null, sides: 'both' | 'l' | 'r'): string {
  const set = characters === null ? WHITESPACE : new Set(characters);
  const points = [...text];
  let start = 0;
  let end = points.length;
  if (sides !== 'r') while (start < end && set.has(points[start] as string)) start += 1;
  if (sides !== 'l') while (end > start && set.has(points[end - 1] as string)) end -= 1;
  return start === 0 && end === points.length ? text : points.slice(start, end).join('');
}

/** Replaces the package's table of string methods by one that answers as Python does. */
export function installStringMethods(): void {
  const prototype = StringValue.prototype as object;
  const original = Object.getOwnPropertyDescriptor(prototype, 'builtins')?.get;
  if (original === undefined || installed.has(prototype)) return;
  installed.add(prototype);
  Object.defineProperty(prototype, 'builtins', {
    configurable: true,
    get(this: RuntimeValue): MethodTable {
      const text = this.value as string;
      return {
        // Only the method asked for is made: templates ask for one per string.
        get: (name) => {
          const method = METHODS.get(name);
          if (method !== undefined) return new FunctionValue((given) => method(text, given));
          if (name === 'length') return new IntegerValue([...text].length);
          return (original.call(this) as MethodTable).get(name);
        },
      };
    },
  });
}

const installed = new WeakSet<object>();

/** What the package asks its own tables of methods for. */
interface MethodTable {
  get(name: string): RuntimeValue | undefined;
}

type Method = (text: string, given: readonly RuntimeValue[]) => RuntimeValue;

/** A method with one string argument. */
function withText(compute: (text: string, argument: string) => string | boolean | number): Method {
  return (text, [argument]) => wrap(compute(text, textArgument(argument)));
}

function stripping(sides: 'both' | 'l' | 'r'): Method {
  return (text, [characters]) => new StringValue(strip(text, optional(characters), sides));
}

const METHODS: ReadonlyMap<string, Method> = new Map<string, Method>([
  ['strip', stripping('both')],
  ['lstrip', stripping('l')],
  ['rstrip', stripping('r')],
  [
    'capitalize',
    (text) => {
      const [first = '', ...rest] = text;
      return new StringValue(first.toUpperCase() + rest.join('').toLowerCase());
    },
  ],
  [
    'removeprefix',
    withText((text, prefix) => (text.startsWith(prefix) ? text.slice(prefix.length) : text)),
  ],
  [
    'removesuffix',
    withText((text, suffix) =>
      suffix !== '' && text.endsWith(suffix) ? text.slice(0, -suffix.length) : text,
    ),
  ],
  ['count', withText((text, part) => text.split(part).length - 1)],
  ['find', withText((text, part) => pointIndex(text, text.indexOf(part)))],
  ['rfind', withText((text, part) => pointIndex(text, text.lastIndexOf(part)))],
  ['isdigit', (text) => new BooleanValue(/^\p{Nd}+$/u.test(text))],
  ['isalpha', (text) => new BooleanValue(/^\p{L}+$/u.test(text))],
  ['isspace', (text) => new BooleanValue(text !== '' && strip(text, null, 'both') === '')],
  ['splitlines', (text) => new ArrayValue(lines(text).map((line) => new StringValue(line)))],
  [
    'join',
    (text, [list]) => {
      const parts = list === undefined ? [] : items(list).map((item) => textArgument(item));
      return new StringValue(parts.join(text));
    },
  ],
]);

function wrap(value: string | boolean | number): RuntimeValue {
  if (typeof value === 'string') return new StringValue(value);
  return typeof value === 'number' ? new IntegerValue(value) : new BooleanValue(value);
}

function textArgument(argument: RuntimeValue | undefined): string {
  if (argument?.type !== 'StringValue') throw new Error('a string method wants a string argument');
  return argument.value as string;
}

function optional(argument: RuntimeValue | undefined): string | null {
  return argument === undefined || argument.type === 'NullValue' ? null : textArgument(argument);
}

function pointIndex(text: string, at: number): number {
  return at < 0 ? -1 : [...text.slice(0, at)].length;
}

function lines(text: string): readonly string[] {
  const parts = text.split(/\r\n|[\n\r\v\f\u0085\u2028\u2029]/);
  if (parts.at(-1) === '') parts.pop();
  return parts;
}
