// What the configuration says about scheduling: profiles of filters, scorers and a picker, and what goes
// with them.

import { z } from 'zod';
import type { PluginSettings, ProfileSettings } from './configuration.js';

/** `scheduling` as written. */
export interface SchedulingEntry {
  readonly profile?: ProfileSettings | undefined;
  readonly profiles?: readonly ProfileSettings[] | undefined;
  readonly profileHandler: PluginSettings;
  readonly producers: readonly PluginSettings[];
}

const parameters = z
  .record(z.string(), z.unknown())
  .default({})
  .describe("The plugin's parameters; see the plugin reference.");
const type = (kind: string): z.ZodString =>
  z.string().describe(`Type of the ${kind}; see the plugin reference.`);
const called = z.string().min(1).max(256).optional();
const producerName = called.describe(
  'What it is called, for plugins that name the one whose findings they go by.',
);
const name = called.describe(
  'What it is called. Plugins of several profiles remember sessions and cold prompts together, ' +
    'unless their names differ.',
);

/** Any weight that is none of the numbers whose sum, over all scorers, would be infinite. */
const WEIGHT_MAX = 1e300;

const profile = z.strictObject({
  name: z.string().min(1).max(64).default('custom').describe('Name shown in decisions.'),
  filters: z
    .array(z.strictObject({ type: type('filter'), name, parameters }))
    .max(32)
    .default([])
    .describe('Filters, in the order in which they run.'),
  scorers: z
    .array(
      z.strictObject({
        type: type('scorer'),
        name,
        weight: z.number().min(0).max(WEIGHT_MAX).default(1).describe('Factor of its score.'),
        parameters,
      }),
    )
    .max(32)
    .default([])
    .describe('Scorers; scores in [0, 1] are weighted and summed.'),
  picker: z
    .strictObject({ type: type('picker'), parameters })
    .prefault({ type: 'max-score-picker' })
    .describe('The picker.'),
});

export const scheduling: z.ZodOptional<z.ZodType<SchedulingEntry>> = z
  .strictObject({
    profile: profile.optional().describe('The profile that schedules every request.'),
    profiles: z
      .array(profile)
      .min(1)
      .max(32)
      .optional()
      .describe('Several profiles, instead of `profile`; the profile handler chooses.'),
    profileHandler: z
      .strictObject({ type: type('profile handler'), parameters })
      .prefault({ type: 'single-profile-handler' })
      .describe('Says which profile schedules a request.'),
    producers: z
      .array(z.strictObject({ type: type('producer'), name: producerName, parameters }))
      .max(32)
      .default([])
      .describe('What is found out about a request before it is scheduled, in this order.'),
  })
  .optional()
  .describe('A scheduling policy of your own, instead of `policy`.');
