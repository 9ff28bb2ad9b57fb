// What the data plane's own pick, which replaces a policy that misses its limit, may take without
// asking: endpoints that the policy would keep whatever the request, for models that no rule sends
// elsewhere. Load, sessions and prompts are not looked at: a late policy costs routing quality.

import type { OwnPick } from '#contracts/core.js';
import type { Policy } from '#contracts/plugin.js';
import type { RewriteRule } from './rewrite-choice.js';

/** Tells for which of its models an endpoint may be picked. */
export function ownPick(policy: Policy, rewrites: readonly RewriteRule[]): OwnPick {
  const rewritten = new Set(rewrites.map(({ match }) => match.model));
  // Nobody has chosen among the profiles: an endpoint must do for each of them.
  const filters = policy.profiles.flatMap((profile) => profile.filters);
  return (endpoint) => {
    if (!filters.every(({ plugin }) => plugin.keeps?.(endpoint) ?? true)) return [];
    return endpoint.models.map(({ id }) => id).filter((id) => !rewritten.has(id));
  };
}
