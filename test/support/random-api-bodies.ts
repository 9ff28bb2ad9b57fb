// Random requests of the Messages and Responses APIs for comparing two readers of them, mostly such as
// engines accept.

import type { RandomBodies } from './random-bodies.js';

/** A body for the route. */
export function randomApiBody(bodies: RandomBodies, route: 'messages' | 'responses'): Buffer {
  return bodies.withMembers(route === 'messages' ? messagesBody(bodies) : responsesBody(bodies));
}

function list(bodies: RandomBodies, max: number, make: (at: number) => string): string {
  return `[${Array.from({ length: bodies.below(max) }, (_, at) => make(at)).join()}]`;
}

/** Now and then anything at all. */
function rarely(bodies: RandomBodies, usual: string): string {
  return bodies.below(150) === 0 ? bodies.value() : usual;
}

function messagesBody(bodies: RandomBodies): readonly string[] {
  const effort = bodies.pick(['"low"', '"max"', '"none"', 'null', '5']);
  const thinking = bodies.pick(['"disabled"', '"disabled"', '"enabled"', '"adaptive"', '"x"']);
  return [
    `"messages":${rarely(
      bodies,
      list(bodies, 6, (at) => message(bodies, at)),
    )}`,
    ...bodies.sometimes(2, () => `"system":${rarely(bodies, systemContent(bodies))}`),
    ...bodies.sometimes(
      3,
      () =>
        `"tools":${rarely(
          bodies,
          list(bodies, 3, () => tool(bodies)),
        )}`,
    ),
    ...bodies.sometimes(4, () => `"thinking":${rarely(bodies, `{"type":${thinking}}`)}`),
    ...bodies.sometimes(6, () => `"output_config":${rarely(bodies, `{"effort":${effort}}`)}`),
    ...bodies.sometimes(6, () => `"chat_template_kwargs":${rarely(bodies, '{"x":1.0}')}`),
  ];
}

function systemText(bodies: RandomBodies): string {
  const billing = ['"x-anthropic-billing-header: 1"', '"\\u0078-anthropic-billing-header\\nrest"'];
  return bodies.below(3) === 0 ? bodies.pick(billing) : bodies.text();
}

function systemContent(bodies: RandomBodies): string {
  const block = (): string => `{"type":"text","text":${rarely(bodies, systemText(bodies))}}`;
  return bodies.below(2) === 0 ? systemText(bodies) : list(bodies, 4, block);
}

function message(bodies: RandomBodies, at: number): string {
  const usual = at % 2 === 0 ? 'user' : 'assistant';
  const role = bodies.below(6) === 0 ? bodies.pick(['system', 'user', 'tool']) : usual;
  const blocks = (): string => list(bodies, 4, () => rarely(bodies, block(bodies, role)));
  const plain = role === 'system' ? systemContent(bodies) : bodies.text();
  const content = rarely(bodies, bodies.below(3) === 0 ? plain : blocks());
  return `{"role":"${role}","content":${content}}`;
}

function block(bodies: RandomBodies, role: string): string {
  const text = rarely(bodies, bodies.text());
  const input = bodies.pick(['{}', '{"a":1.0,"12":[1e3]}', 'null', `{"v":${bodies.value()}}`]);
  const forms = [
    `{"type":"text","text":${text}}`,
    `{"type":"text","text":${text}}`,
    `{"type":"thinking","thinking":${text},"signature":"s"}`,
    `{"type":"redacted_thinking","data":"x"}`,
    `{"type":"tool_use","id":"t1","name":"f","input":${input}}`,
    `{"type":"image","source":${image(bodies)}}`,
    ...(role === 'user' ? [result(bodies), result(bodies), result(bodies)] : []),
    ...(bodies.below(10) === 0 ? [`{"type":"tool_addition"}`, `{"type":"tool_reference"}`] : []),
  ];
  return bodies.pick(forms);
}

function image(bodies: RandomBodies): string {
  return bodies.pick([
    `{"type":"base64","media_type":"image/png","data":${rarely(bodies, '"aGk="')}}`,
    `{"type":"url","url":${rarely(bodies, bodies.pick(['"https://a/b.png"', '""']))}}`,
    '{"data":"x"}',
    '{}',
    'null',
  ]);
}

function result(bodies: RandomBodies): string {
  const item = (): string =>
    bodies.pick([
      `{"type":"text","text":${bodies.text()}}`,
      `{"type":"text"}`,
      `{"type":"image","source":${image(bodies)}}`,
      `{"type":"other"}`,
    ]);
  const content = bodies.pick([bodies.text(), list(bodies, 3, item), 'null']);
  return `{"type":"tool_result","tool_use_id":"t1","content":${rarely(bodies, content)}}`;
}

function tool(bodies: RandomBodies): string {
  const schema = bodies.pick([
    '{}',
    '{"type":"object"}',
    `{"properties":${bodies.value()}}`,
    '{ }',
  ]);
  const members = [
    '"name":"f"',
    `"input_schema":${rarely(bodies, schema)}`,
    ...bodies.sometimes(2, () => `"description":${bodies.text()}`),
    ...bodies.sometimes(4, () => `"strict":${bodies.pick(['true', 'null'])}`),
    ...bodies.sometimes(5, () => `"defer_loading":${bodies.pick(['true', 'null'])}`),
  ];
  return `{${members.join()}}`;
}

function responsesBody(bodies: RandomBodies): readonly string[] {
  const items = (): string => list(bodies, 7, () => rarely(bodies, item(bodies)));
  const effort = bodies.pick(['"low"', '"none"', 'null']);
  const engineOnly = bodies.pick(['previous_response_id', 'prompt', 'media_io_kwargs']);
  return [
    `"input":${rarely(bodies, bodies.below(5) === 0 ? bodies.text() : items())}`,
    ...bodies.sometimes(3, () => `"instructions":${rarely(bodies, systemText(bodies))}`),
    ...bodies.sometimes(
      3,
      () =>
        `"tools":${rarely(
          bodies,
          list(bodies, 4, () => flatTool(bodies)),
        )}`,
    ),
    ...bodies.sometimes(5, () => `"reasoning":${rarely(bodies, `{"effort":${effort}}`)}`),
    ...bodies.sometimes(20, () => `"${engineOnly}":${bodies.pick(['null', '"x"'])}`),
  ];
}

function item(bodies: RandomBodies): string {
  const text = (): string => rarely(bodies, bodies.text());
  const role = bodies.pick(['user', 'user', 'system', 'developer', 'assistant', 'other']);
  const part = (): string => `{"type":"output_text","text":${text()}}`;
  const status = bodies.pick(['', '', ',"status":"in_progress"', ',"status":"completed"']);
  const given = bodies.pick(['"{\\"a\\":1.0}"', '"[]"', '"x"', '""']);
  const namespace = bodies.pick(['', '', ',"namespace":"ns"', ',"namespace":null']);
  return bodies.pick([
    `{"role":"${role}","content":${rarely(bodies, bodies.content())}}`,
    `{"type":"message","role":"${role}","content":${rarely(bodies, bodies.content())}}`,
    `{"type":"message","role":"assistant","content":${list(bodies, 3, part)}${status}}`,
    `{"type":"reasoning","summary":${list(bodies, 2, part)},"content":${list(bodies, 2, part)}${status}}`,
    `{"type":"reasoning","summary":[]${bodies.pick(['', ',"encrypted_content":"x"'])}}`,
    `{"type":"function_call","call_id":"c1","name":"f","arguments":${given}${namespace}}`,
    `{"type":"custom_tool_call","call_id":"c2","name":"p","input":${text()}}`,
    `{"type":"function_call_output","call_id":"c1","output":${rarely(bodies, bodies.content())}}`,
    `{"type":${bodies.pick(['null', '"item_reference"', '7'])},"role":"user","content":"x"}`,
  ]);
}

function flatTool(bodies: RandomBodies): string {
  const schema = bodies.pick(['{}', 'null', `{"properties":${bodies.value()}}`]);
  const inner = `{"type":"function","name":"f","parameters":${rarely(bodies, schema)}}`;
  return bodies.pick([
    inner,
    `{"type":"function","name":"g","description":${bodies.text()},"strict":true}`,
    `{"type":"custom","name":"p","description":${bodies.pick(['null', bodies.text()])}}`,
    `{"type":"custom","name":"p","format":{"type":"${bodies.pick(['text', 'grammar'])}"}}`,
    `{"type":"namespace","name":"ns","tools":[${inner},{"type":"other"}]}`,
    '{"type":"web_search"}',
  ]);
}
