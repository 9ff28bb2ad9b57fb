// The header by which a gateway in front restricts who may answer, llm-d's `subset_hint`. Read only
// where the configuration trusts it, because a client could pick out an engine with it.

import type { FleetSnapshot } from '#contracts/endpoint.js';
import { CandidateSet } from '#contracts/scheduling.js';

/**
 * The endpoints named in the header's list of `address:port`, all ranks of each; null without the
 * header. Names that the fleet does not have are no error: a gateway may know more than we do.
 */
export function endpointSubset(
  header: string | undefined,
  fleet: FleetSnapshot,
): CandidateSet | null {
  if (header === undefined) return null;
  const names = new Set(header.split(',').map((name) => name.trim().toLowerCase()));
  const subset = new CandidateSet(fleet.bySlot.length);
  for (const [slot, state] of fleet.bySlot.entries()) {
    const [address = ''] = state?.endpoint.name.split('|') ?? [];
    if (names.has(address)) subset.add(slot);
  }
  return subset;
}
