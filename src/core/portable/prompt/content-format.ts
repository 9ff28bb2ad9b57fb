// Tells whether a chat template prints message.content as a string or loops over its parts, by the
// same rule as vLLM (renderers/hf.py): messages, variables assigned from it, loops over those, and
// loops over the content of such a loop's variable. Called once per template by render.ts.

import type { ContentFormat } from './messages.js';
import type { TemplateNode } from './template-runtime.js';

export function contentFormat(tree: TemplateNode): ContentFormat {
  const nodes = [...allNodes(tree)];
  const lists = assignedFrom(nodes, 'messages');
  const messages = nodes
    .filter((node) => node.type === 'For')
    .filter((loop) => lists.some((name) => isAccess(iterated(loop), name, null)))
    .map((loop) => nameOf(loop['loopvar']));
  const loops = nodes.some(
    (node) =>
      node.type === 'For' &&
      messages.some((name) => name !== null && isAccess(iterated(node), name, 'content')),
  );
  return loops ? 'openai' : 'string';
}

/** `name` and every variable assigned from it or from a slice or filter of it. */
function assignedFrom(nodes: readonly TemplateNode[], name: string): readonly string[] {
  const names = [name];
  for (const known of names) {
    for (const node of nodes) {
      if (node.type !== 'Set' || !isAccess(node['value'], known, null)) continue;
      const target = nameOf(node['assignee']);
      if (target !== null && !names.includes(target)) names.push(target);
    }
  }
  return names;
}

/** What a loop runs over; `for x in list if test` is parsed as a selection around the list. */
function iterated(loop: TemplateNode): unknown {
  const iterable = loop['iterable'];
  return isNode(iterable) && iterable.type === 'SelectExpression' ? iterable['lhs'] : iterable;
}

/** Whether `node` is `name`, or `name.key` when there is a key, through filters, tests, slices. */
function isAccess(node: unknown, name: string, key: string | null): boolean {
  if (!isNode(node)) return false;
  if (node.type === 'FilterExpression' || node.type === 'TestExpression') {
    return isAccess(node['operand'], name, key);
  }
  if (node.type !== 'MemberExpression') return key === null && nameOf(node) === name;
  const property = node['property'] as TemplateNode;
  if (property.type === 'SliceExpression') return isAccess(node['object'], name, key);
  return key !== null && nameOf(node['object']) === name && property['value'] === key;
}

function nameOf(node: unknown): string | null {
  return isNode(node) && node.type === 'Identifier' ? String(node['value']) : null;
}

function* allNodes(node: unknown): Generator<TemplateNode> {
  if (Array.isArray(node)) {
    for (const child of node) yield* allNodes(child);
  } else if (isNode(node)) {
    yield node;
    for (const child of Object.values(node)) yield* allNodes(child);
  }
}

function isNode(value: unknown): value is TemplateNode {
  return typeof value === 'object' && value !== null && 'type' in value;
}
