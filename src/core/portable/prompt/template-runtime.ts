// Runs Jinja chat templates with Python's semantics: @huggingface/jinja parses and interprets, and
// the parsed template is rewritten so that output, ~, ==, tojson, trim and string go through the
// functions of python-values.ts. Called by render.ts; one compiled template serves a whole thread.

import { Environment, Interpreter, Template } from '@huggingface/jinja';
import { TEMPLATE_STEPS_MAX } from '#contracts/limits.js';
import type { JsonValue } from '#core/json-value.js';
import { installStringMethods, strip } from './python-strings.js';
import {
  ArrayValue,
  BooleanValue,
  type DumpOptions,
  entries,
  FunctionValue,
  IntegerValue,
  items,
  NullValue,
  ObjectValue,
  pythonDumps,
  pythonText,
  type RuntimeValue,
  StringValue,
  type TemplateFunction,
  toRuntime,
} from './python-values.js';
import { strftime } from './strftime.js';

/** A node of the package's syntax tree, as far as it is looked at here. */
export interface TemplateNode {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** The template called raise_exception: the request is at fault, not the router. */
export class TemplateRefusal extends Error {}

export interface CompiledTemplate {
  /** The syntax tree as parsed, before rewriting; content-format.ts reads it. */
  readonly tree: TemplateNode;
  render(variables: Readonly<Record<string, JsonValue | undefined>>): string;
}

/** Compiles a template; throws when the package cannot parse it. `today` serves strftime_now. */
export function compileTemplate(source: string, today: () => Date): CompiledTemplate {
  installStringMethods();
  // `generation` only marks spans for training; as an always-true `if` it trims the same whitespace.
  const plain = source
    .replace(/(\{%[-+]?\s*)generation(\s*[-+]?%\})/g, '$1if true$2')
    .replace(/(\{%[-+]?\s*)endgeneration(\s*[-+]?%\})/g, '$1endif$2');
  const tree = new Template(plain).parsed;
  const program = rewrite(new Template(plain).parsed as unknown as TemplateNode);
  return {
    tree: tree as unknown as TemplateNode,
    render: (variables) => {
      const environment = new Environment();
      const steps = new Steps();
      addGlobals(environment, today, steps);
      for (const [name, value] of Object.entries(variables)) {
        if (value !== undefined) setVariable(environment, name, toRuntime(value));
      }
      const output = new CountingInterpreter(environment, steps).run(program);
      return output.value as string;
    },
  };
}

/** What is left of one rendering's steps, so that an endless template ends. */
class Steps {
  #left = TEMPLATE_STEPS_MAX;

  take(count: number): void {
    this.#left -= count;
    if (this.#left < 0) {
      throw new Error(
        `the chat template takes more than ${TEMPLATE_STEPS_MAX} steps for this request`,
      );
    }
  }
}

/** The package's declarations do not resolve here. */
const BaseInterpreter = Interpreter as unknown as new (
  environment: Environment,
) => {
  run(program: TemplateNode): RuntimeValue;
  evaluate(statement: TemplateNode | undefined, environment: Environment): RuntimeValue;
};

/** Each node it evaluates is a step. */
class CountingInterpreter extends BaseInterpreter {
  readonly #steps: Steps;

  constructor(environment: Environment, steps: Steps) {
    super(environment);
    this.#steps = steps;
  }

  override evaluate(statement: TemplateNode | undefined, environment: Environment): RuntimeValue {
    this.#steps.take(1);
    return super.evaluate(statement, environment);
  }
}

function setVariable(environment: Environment, name: string, value: RuntimeValue): void {
  environment.setVariable(name, value as ReturnType<Environment['lookupVariable']>);
}

/** Names the rewritten tree calls; no template can spell them. */
const HELPERS: Readonly<Record<string, TemplateFunction>> = {
  ' text': ([value]) => new StringValue(value === undefined ? '' : pythonText(value)),
  ' concat': ([left, right]) =>
    new StringValue(
      `${left === undefined ? '' : pythonText(left)}${right === undefined ? '' : pythonText(right)}`,
    ),
  ' equal': ([left, right]) => new BooleanValue(equal(left, right)),
  ' unequal': ([left, right]) => new BooleanValue(!equal(left, right)),
  ' trim': ([value]) =>
    new StringValue(value === undefined ? '' : strip(pythonText(value), null, 'both')),
  ' tojson': (parameters) => {
    const [value] = parameters;
    return new StringValue(
      value === undefined ? 'null' : pythonDumps(value, dumpOptions(parameters)),
    );
  },
};

function addGlobals(environment: Environment, today: () => Date, steps: Steps): void {
  for (const [name, helper] of Object.entries(HELPERS)) {
    setVariable(environment, name, new FunctionValue(helper));
  }
  for (const name of ['true', 'True']) setVariable(environment, name, new BooleanValue(true));
  for (const name of ['false', 'False']) setVariable(environment, name, new BooleanValue(false));
  for (const name of ['none', 'None']) setVariable(environment, name, new NullValue(null));
  const functions: Readonly<Record<string, TemplateFunction>> = {
    // What a loop goes over: the package evaluates nothing in a turn with an empty body.
    ' items': ([value = new NullValue(null)]) => {
      steps.take(value instanceof ArrayValue ? (value.value as readonly unknown[]).length : 1);
      return value;
    },
    raise_exception: ([message]) => {
      throw new TemplateRefusal(message === undefined ? '' : pythonText(message));
    },
    range: (parameters) => range(parameters.map((parameter) => Number(parameter.value))),
    strftime_now: ([format]) =>
      new StringValue(strftime(today(), format === undefined ? '' : pythonText(format))),
    dict: (parameters) => new ObjectValue(new Map(parameters.flatMap((p) => [...entries(p)]))),
  };
  for (const [name, body] of Object.entries(functions)) {
    setVariable(environment, name, new FunctionValue(body));
  }
}

/** Longest range() a template may ask for, Jinja's own sandbox limit. */
const RANGE_MAX = 100_000;

function range(numbers: readonly number[]): RuntimeValue {
  const [first = 0, second, step = 1] = numbers;
  const [start, stop] = second === undefined ? [0, first] : [first, second];
  const length = step === 0 ? 0 : Math.max(0, Math.ceil((stop - start) / step));
  if (length > RANGE_MAX) throw new Error(`range too big, the sandbox allows ${RANGE_MAX}`);
  return new ArrayValue(Array.from({ length }, (_, at) => new IntegerValue(start + at * step)));
}

function equal(left: RuntimeValue | undefined, right: RuntimeValue | undefined): boolean {
  if (left === undefined || right === undefined) return false;
  if (left === right || left.value === right.value) return sameKind(left, right);
  const [a, b] = [left.value, right.value];
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item, at) => equal(item, b[at]));
  }
  if (a instanceof Map && b instanceof Map) {
    return a.size === b.size && [...a].every(([key, item]) => equal(item, b.get(key)));
  }
  return isNumber(left) && isNumber(right) && Number(a) === Number(b);
}

function sameKind(left: RuntimeValue, right: RuntimeValue): boolean {
  return left.type === right.type || (isNumber(left) && isNumber(right));
}

function isNumber(value: RuntimeValue): boolean {
  return ['IntegerValue', 'FloatValue', 'BooleanValue'].includes(value.type);
}

function dumpOptions(parameters: readonly RuntimeValue[]): DumpOptions {
  const last = parameters.at(-1);
  const keywords = last?.type === 'KeywordArgumentsValue' ? entries(last) : null;
  const [, second] = parameters;
  const positional = second !== undefined && second !== last ? second : undefined;
  const indent = keywords?.get('indent')?.value;
  const separators = keywords?.get('separators');
  const list = separators === undefined || separators.value === null ? null : items(separators);
  const ascii = keywords?.get('ensure_ascii') ?? positional;
  return {
    indent: typeof indent === 'number' ? indent : null,
    ensureAscii: ascii?.value === true,
    separators: list === null ? null : [String(list[0]?.value), String(list[1]?.value)],
    sortKeys: keywords?.get('sort_keys')?.value === true,
  };
}

/** Statements that print nothing themselves, and text that prints as it is. */
const NOT_PRINTED: ReadonlySet<string> = new Set([
  'If',
  'For',
  'Set',
  'Macro',
  'Comment',
  'Break',
  'Continue',
  'CallStatement',
  'FilterStatement',
  'StringLiteral',
]);
const BODIES: ReadonlySet<string> = new Set(['body', 'alternate', 'defaultBlock']);

/** Rewrites a tree in place, children first, and returns what stands for `node` now. */
function rewrite(node: TemplateNode): TemplateNode {
  for (const [field, child] of Object.entries(node)) {
    const rewritten = rewriteField(child);
    (node as Record<string, unknown>)[field] =
      BODIES.has(field) && Array.isArray(rewritten) ? rewritten.map(printed) : rewritten;
  }
  if (node.type === 'For') return rewriteLoop(node);
  if (node.type === 'BinaryExpression') return rewriteOperator(node);
  return node.type === 'FilterExpression' ? rewriteFilter(node) : node;
}

function rewriteField(child: unknown): unknown {
  if (isNode(child)) return rewrite(child);
  if (Array.isArray(child)) return child.map(rewriteField);
  if (child instanceof Map) {
    return new Map([...child].map(([key, value]) => [rewriteField(key), rewriteField(value)]));
  }
  return child;
}

function printed(node: TemplateNode): TemplateNode {
  return NOT_PRINTED.has(node.type) ? node : call(node, ' text', [node]);
}

function rewriteLoop(node: TemplateNode): TemplateNode {
  const { iterable } = node as unknown as { iterable: TemplateNode };
  const fields = node as Record<string, unknown>;
  if (iterable.type === 'SelectExpression') {
    const select = iterable as Record<string, unknown>;
    select['lhs'] = call(iterable, ' items', [iterable['lhs'] as TemplateNode]);
  } else fields['iterable'] = call(iterable, ' items', [iterable]);
  return node;
}

function rewriteOperator(node: TemplateNode): TemplateNode {
  const { operator, left, right } = node as unknown as {
    operator: { value: string };
    left: TemplateNode;
    right: TemplateNode;
  };
  if (operator.value === '~') return call(node, ' concat', [left, right]);
  const name = { '==': ' equal', '!=': ' unequal' }[operator.value];
  return name === undefined ? node : call(node, name, [left, right]);
}

function rewriteFilter(node: TemplateNode): TemplateNode {
  const { operand, filter } = node as unknown as { operand: TemplateNode; filter: TemplateNode };
  const isCall = filter.type === 'CallExpression';
  const name = isCall ? (filter['callee'] as TemplateNode)['value'] : filter['value'];
  const parameters = isCall ? (filter['args'] as readonly TemplateNode[]) : [];
  if (name === 'tojson') return call(node, ' tojson', [operand, ...parameters]);
  if (name === 'trim' && parameters.length === 0) return call(node, ' trim', [operand]);
  return name === 'string' ? call(node, ' text', [operand]) : node;
}

/** A call node of the package's own kind: its scan for macro arguments goes by instance. */
function call(like: TemplateNode, name: string, parameters: readonly TemplateNode[]): TemplateNode {
  const make = (fields: object): TemplateNode =>
    Object.assign(Object.create(Object.getPrototypeOf(like)), fields) as TemplateNode;
  const callee = make({ type: 'Identifier', value: name });
  return make({ type: 'CallExpression', callee, args: parameters });
}

function isNode(value: unknown): value is TemplateNode {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Map) &&
    typeof (value as { type?: unknown }).type === 'string' &&
    // Tokens (operators) have a type too, but are plain leaves of the lexer.
    Object.getPrototypeOf(Object.getPrototypeOf(value)) !== Object.prototype
  );
}
