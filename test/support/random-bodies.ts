// Random bodies of chat and completion requests for comparing two readers of them: valid ones, odd
// ones, and ones broken at a random place.

import type { Random } from '#contracts/random.js';

const TEXTS: readonly string[] = [
  'Hello!',
  'two\nlines, "quotes" and \\ slashes',
  ' spaces around \t',
  '中文 été 🤖 café',
  '<|im_start|>user <|im_end|></think>x',
  '',
  '\u0000\u001f\u007f\u0085\u2028\ufeff',
  'null',
  '{"a": 1}',
  "it's",
];
/** Spelt as JSON, because JSON.stringify would not. */
const RAW_TEXTS: readonly string[] = [
  '"\\ud83d\\ude00 pair"',
  '"lone \\ud83d half"',
  '"\\udc00"',
  '"\\u0041\\/\\b\\f"',
  '"caf\\u00e9"',
];
const NUMBERS: readonly string[] = [
  '0',
  '-0',
  '1',
  '-7',
  '1.0',
  '1.50',
  '-0.0',
  '1e5',
  '1E-7',
  '1e16',
  '123456789012345678',
  '12345678901234567890',
  '340282366920938463463374607431768211456000',
  '0.1',
  '1e400',
  '5e-324',
  '1.7976931348623157e308',
];
const MEDIA_TYPES: readonly string[] = [
  'image_url',
  'input_image',
  'image_embeds',
  'audio_url',
  'input_audio',
  'audio_embeds',
  'video_url',
  'file',
];
const KEYS: readonly string[] = ['a', 'b', '1', '12', 'name', 'type', 'x y', 'é', '0'];

export class RandomBodies {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  below(limit: number): number {
    return Math.floor(this.#random.next() * limit);
  }

  pick(list: readonly string[]): string {
    return list[this.below(list.length)] ?? '';
  }

  /** A body for the route, mostly one that is accepted. */
  body(route: 'chat-completions' | 'completions' | 'vllm-generate' | 'sglang-generate'): Buffer {
    const own = {
      'chat-completions': () => this.#chat(),
      completions: () => [`"prompt":${this.#prompt()}`],
      'vllm-generate': () => this.#tokenIds(),
      'sglang-generate': () => this.#generate(),
    };
    return this.withMembers(own[route]());
  }

  /** A body with such members, of its API's own, and others. */
  withMembers(own: readonly string[]): Buffer {
    const members = [...this.#common(), ...own];
    for (let at = members.length - 1; at > 0; at -= 1) {
      const other = this.below(at + 1);
      [members[at], members[other]] = [members[other] ?? '', members[at] ?? ''];
    }
    const space = (): string => this.pick(['', '', ' ', '\n\t']);
    const text = members.map((member) => `${space()}${member}${space()}`).join(',');
    const bytes = Buffer.from(`${space()}{${text}}${space()}`);
    return this.below(4) === 0 ? this.#broken(bytes) : bytes;
  }

  value(depth = 0): string {
    const kind = this.below(depth > 3 ? 5 : 7);
    if (kind === 0) return this.pick(NUMBERS);
    if (kind === 1) return this.pick(['true', 'false', 'null']);
    if (kind < 5) return this.text();
    const items = Array.from({ length: this.below(4) }, () => this.value(depth + 1));
    if (kind === 5) return `[${items.join(this.pick([',', ', ']))}]`;
    return `{${items.map((item) => `"${this.pick(KEYS)}":${item}`).join()}}`;
  }

  text(): string {
    return this.below(6) === 0 ? this.pick(RAW_TEXTS) : JSON.stringify(this.pick(TEXTS));
  }

  sometimes(chance: number, make: () => string): readonly string[] {
    return this.below(chance) === 0 ? [make()] : [];
  }

  #common(): readonly string[] {
    const model = this.below(8) === 0 ? this.value() : '"m"';
    return [
      ...(this.below(12) === 0 ? [] : [`"model":${model}`]),
      ...this.sometimes(3, () => `"stream":${this.pick(['true', 'false', 'null', '"yes"'])}`),
      ...this.sometimes(
        4,
        () => `"priority":${this.pick(['3', '-3', '1e2', '1.5', 'null', '3e9'])}`,
      ),
      ...this.sometimes(5, () => `"cache_salt":${this.pick(['"s"', '""', 'null', '5', '"é"'])}`),
      ...this.sometimes(6, () => `"kv_transfer_params":${this.value()}`),
      ...this.sometimes(8, () => `"ec_transfer_p\\u0061rams":${this.value()}`),
      ...this.sometimes(8, () => `"vllm_xargs":{"a":1,"kv_cache_report_mode":${this.value()}}`),
      ...this.sometimes(6, () => `"temperature":${this.pick(NUMBERS)}`),
      ...this.sometimes(40, () => `"chat_template":${this.value()}`),
      ...this.sometimes(40, () => '"stream":true'),
      ...this.sometimes(30, () => '"truncate_prompt_tokens":4'),
      ...this.sometimes(8, () => `"add_special_tokens":${this.pick(['true', 'false', '1'])}`),
      ...this.sometimes(5, () => `"metadata":${this.value()}`),
    ];
  }

  #tokenIds(): readonly string[] {
    const ids = this.below(8) === 0 ? this.value() : this.#ids();
    return [
      ...(this.below(10) === 0 ? [] : [`"token_ids":${ids}`]),
      ...this.sometimes(8, () => `"features":${this.pick(['null', '{}'])}`),
    ];
  }

  #generate(): readonly string[] {
    const field = this.pick(['lora_path', 'image_data', 'extra_key', 'session_id', 'rid']);
    return [
      ...this.sometimes(2, () => `"text":${this.#prompt()}`),
      ...this.sometimes(2, () => `"input_ids":${this.pick([this.#ids(), this.#prompt(), 'null'])}`),
      ...this.sometimes(6, () => `"${field}":${this.value()}`),
      ...this.sometimes(8, () => `"bootstrap_host":${this.value()}`),
    ];
  }

  #ids(): string {
    const id = (): string =>
      this.pick(['1', '22', '333', '3.0', '1e2', '4', '5', '-1', '"x"', 'null']);
    return `[${Array.from({ length: this.below(5) }, id).join()}]`;
  }

  #prompt(): string {
    const ids = (): string => this.#ids();
    const forms = [
      this.text(),
      this.text(),
      `[${this.text()}]`,
      `[${this.text()},${this.text()}]`,
      ids(),
      `[${ids()}]`,
      `[${ids()},${ids()}]`,
      this.value(),
    ];
    return this.pick(forms);
  }

  #chat(): readonly string[] {
    const messages = Array.from({ length: 1 + this.below(5) }, (_, at) => this.#message(at));
    const list = this.below(25) === 0 ? this.value() : `[${messages.join()}]`;
    const goesOn = this.below(6) === 0;
    return [
      `"messages":${list}`,
      ...this.sometimes(3, () => `"tools":${this.#tools()}`),
      ...this.sometimes(8, () => `"documents":${this.value()}`),
      ...this.sometimes(4, () => `"chat_template_kwargs":${this.#arguments()}`),
      ...this.sometimes(6, () => `"reasoning_effort":${this.pick(['"low"', '"none"', 'null'])}`),
      ...(goesOn ? ['"add_generation_prompt":false', '"continue_final_message":true'] : []),
    ];
  }

  #message(at: number): string {
    const roles = ['user', 'user', 'assistant', 'system', 'tool', 'developer'];
    const role = at === 0 && this.below(2) === 0 ? 'system' : this.pick(roles);
    const members = [
      this.below(40) === 0 ? `"role":${this.value()}` : `"role":"${role}"`,
      ...(this.below(12) === 0 ? [] : [`"content":${this.content()}`]),
      ...this.sometimes(6, () => `"name":${this.value()}`),
      ...this.sometimes(5, () => `"reasoning_content":${this.text()}`),
      ...this.sometimes(4, () => `"tool_call_id":${this.text()}`),
      ...this.sometimes(3, () => `"tool_calls":${this.#calls()}`),
      ...this.sometimes(20, () => `"content":${this.text()}`),
    ];
    return `{${members.join()}}`;
  }

  /** Of a message of a chat. */
  content(): string {
    const kind = this.below(10);
    if (kind < 6) return this.text();
    if (kind === 6) return this.pick(['null', '5', '1.0', 'true', '{}']);
    const parts = Array.from({ length: this.below(4) }, () => {
      const type = this.pick(['text', 'text', 'text', 'refusal', 'thinking', 'input_text']);
      const media = this.below(15) === 0 ? ',"uuid":"u"' : '';
      if (this.below(6) === 0) return this.text();
      if (this.below(8) === 0) return this.#mediaPart();
      return `{"type":"${type}","${type === 'input_text' ? 'text' : type}":${this.text()}${media}}`;
    });
    return `[${parts.join()}]`;
  }

  /** Images, audio and video in every form a client may choose, and some that none should. */
  #mediaPart(): string {
    const type = this.pick(MEDIA_TYPES);
    const field = this.below(8) === 0 ? this.pick(MEDIA_TYPES) : type;
    const content = (): string =>
      this.pick(['""', '"https://a/b.png"', this.text(), 'null', '1.0']);
    const inside = this.pick(['url', 'url', 'data', 'x']);
    const value = this.pick([content(), `{"${inside}":${content()}}`, this.value()]);
    const members = [
      ...(this.below(12) === 0 ? [] : [`"type":"${type}"`]),
      `"${field === 'input_image' ? 'image_url' : field}":${value}`,
      ...this.sometimes(5, () => `"uuid":${this.pick(['"u"', '""', 'null', '7', '"é"'])}`),
    ];
    return `{${members.join()}}`;
  }

  #tools(): string {
    const tools = Array.from({ length: this.below(3) }, () => {
      const members = [
        '"name":"f"',
        ...this.sometimes(2, () => `"description":${this.text()}`),
        ...this.sometimes(2, () => `"parameters":${this.value()}`),
        ...this.sometimes(4, () => `"strict":${this.value()}`),
      ];
      const kind = this.pick(['"type":"function",', '', '"type":null,']);
      return `{${kind}"function":{${members.join()}}}`;
    });
    return this.below(15) === 0 ? this.value() : `[${tools.join()}]`;
  }

  #calls(): string {
    const given = this.pick([
      '"{\\"city\\": \\"Zürich\\", \\"n\\": 1.0, \\"2\\": [1e3]}"',
      '"not json"',
      '{"x":1.0,"10":"y"}',
      'null',
      '""',
      '5',
    ]);
    const call = `{"id":"c1","type":"function","function":{"name":"f","arguments":${given}}}`;
    return this.pick([`[${call}]`, `[${call},${call}]`, '[]', 'null', `[${this.value()}]`]);
  }

  #arguments(): string {
    if (this.below(12) === 0) return this.value();
    const template = this.below(12) === 0 ? ',"chat_template":"x"' : '';
    return `{"enable_thinking":${this.pick(['true', 'false'])},"extra":${this.value()}${template}}`;
  }

  /** A body with a few bytes changed, left out, doubled or cut off. */
  #broken(bytes: Buffer): Buffer {
    const at = this.below(bytes.length);
    const kind = this.below(5);
    if (kind === 0) return bytes.subarray(0, at);
    const end = Math.min(bytes.length, at + 1 + this.below(6));
    const [head, middle, tail] = [
      bytes.subarray(0, at),
      bytes.subarray(at, end),
      bytes.subarray(end),
    ];
    if (kind === 1) return Buffer.concat([head, tail]);
    if (kind === 2) return Buffer.concat([head, middle, middle, tail]);
    if (kind === 3) return Buffer.concat([head, Buffer.from([this.below(256)]), tail]);
    return Buffer.concat([head, Buffer.from(this.pick(['"', '{', '}', ',', '\\', '1'])), tail]);
  }
}
