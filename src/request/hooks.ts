// What plugins do once a decision stands: note what was picked and where the request went on to, add
// headers for the client. Who has such a hook is found out when a cycle is made, so that a policy
// without any pays nothing. A hook that throws costs itself, never the request.

import type { ForwardOrder } from '#contracts/core.js';
import type { Placed, Profile } from '#contracts/plugin.js';
import type { HeaderPair } from '#contracts/request.js';
import type { MovedOn, PluginHooks, Producer, SchedulingContext } from '#contracts/scheduling.js';

type NotesPick = Required<Pick<PluginHooks, 'picked'>>;
type AddsHeaders = Required<Pick<PluginHooks, 'responseHeaders'>>;

/** Plugins with hooks of one profile, in the order in which the policy names them. */
export interface CycleHooks {
  readonly profile: string;
  readonly picked: readonly NotesPick[];
  readonly responseHeaders: readonly AddsHeaders[];
}

/** Who asked to be told when a request goes on to another endpoint. */
export interface PickFollowers {
  readonly profile: string;
  readonly moved: readonly MovedOn[];
}

/** Told what a hook threw in a decision of that profile. */
export type HookFailed = (
  profile: string,
  request: Pick<SchedulingContext, 'requestId'>,
  error: unknown,
) => void;

/** Finds the hooks that concern decisions of `profile`. */
export function collectHooks(profile: Profile, producers: readonly Placed<Producer>[]): CycleHooks {
  const placed = [...producers, ...profile.filters, ...profile.scorers, profile.picker];
  const plugins = placed.map(({ plugin }): PluginHooks => plugin);
  return {
    profile: profile.name,
    picked: plugins.filter((plugin): plugin is NotesPick => plugin.picked !== undefined),
    responseHeaders: plugins.filter(
      (plugin): plugin is AddsHeaders => plugin.responseHeaders !== undefined,
    ),
  };
}

/** Tells every plugin that asks for it which slot the request was sent to; null: nobody follows it. */
export function notePicked(
  hooks: CycleHooks,
  context: SchedulingContext,
  slot: number,
  failed: HookFailed,
): PickFollowers | null {
  let moved: MovedOn[] | null = null;
  for (const plugin of hooks.picked) {
    try {
      const follower = plugin.picked(context, slot);
      if (follower === undefined) continue;
      if (moved === null) moved = [follower];
      else moved.push(follower);
    } catch (error) {
      failed(hooks.profile, context, error);
    }
  }
  return moved === null ? null : { profile: hooks.profile, moved };
}

/** Tells those who follow a request that it is sent on to `slot`. */
export function noteMoved(
  followers: PickFollowers,
  request: Pick<SchedulingContext, 'requestId'>,
  slot: number,
  failed: HookFailed,
): void {
  for (const moved of followers.moved) {
    try {
      moved(slot);
    } catch (error) {
      failed(followers.profile, request, error);
    }
  }
}

/** The order with what plugins say to the client; the same one where no plugin says anything. */
export function withPluginHeaders(
  order: ForwardOrder,
  hooks: CycleHooks,
  context: SchedulingContext,
  failed: HookFailed,
): ForwardOrder {
  if (hooks.responseHeaders.length === 0) return order;
  const targets = order.targets.map((target) => {
    const responseHeaders: HeaderPair[] = [...target.responseHeaders];
    for (const plugin of hooks.responseHeaders) {
      try {
        responseHeaders.push(...plugin.responseHeaders(context, target.slot));
      } catch (error) {
        failed(hooks.profile, context, error);
      }
    }
    return { ...target, responseHeaders };
  });
  return { ...order, targets };
}
