// What engines find out about a template by rendering small chats, to convert requests of other APIs
// for it. Called by render.ts. Source: vLLM 0.32's entrypoints/anthropic/serving.py.

import type { JsonValue } from '#core/json-value.js';

const text = (role: string, content: string): JsonValue => ({ role, content });
const SYSTEM_TWICE: readonly JsonValue[] = [
  text('system', 't'),
  text('user', 't'),
  text('system', 't'),
  text('user', 't'),
];
/** A chat that is rendered with each effort. */
export const EFFORT_PROBE: readonly JsonValue[] = [text('user', 'Hi')];
const EFFORTS: readonly string[] = ['low', 'medium', 'high', 'xhigh', 'max'];

/** Whether a template refuses system messages after the first. */
export function wantsSystemFirst(render: (messages: readonly JsonValue[]) => string): boolean {
  return rendered(() => render(SYSTEM_TWICE)) === null;
}

/** The effort that stands for no thinking: the lowest, where the template does not know `none`. */
export function thinkingOffEffort(render: (effort: string) => string): string {
  const none = rendered(() => render('none'));
  if (none === null) return 'low';
  const same = (effort: string): boolean => rendered(() => render(effort)) === none;
  return EFFORTS.some(same) ? 'low' : 'none';
}

function rendered(render: () => string): string | null {
  try {
    return render();
  } catch {
    return null;
  }
}
