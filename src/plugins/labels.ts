// Labels of endpoints, as filters and scorers read them.

/** Labels of one endpoint. */
export type Labels = Readonly<Record<string, string>>;

/** Label that says what an endpoint does; llm-d's name. */
export const ROLE_LABEL = 'llm-d.ai/role';

/** Own labels only: an endpoint has no label `constructor` just because it is an object. */
export function labelOf(labels: Labels, name: string): string | undefined {
  return Object.hasOwn(labels, name) ? labels[name] : undefined;
}
