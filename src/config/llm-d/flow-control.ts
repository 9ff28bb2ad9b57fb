// Feature gates, flow control and saturation detection of an EndpointPickerConfig: refused where they
// would decide about requests, told of where llm-d itself would not look at them.

import { suggestion } from '../nearest-name.js';
import type { PluginList } from './plugin-list.js';
import type { EndpointPickerFile } from './schema.js';
import type { Translation } from './translation.js';

interface Gate {
  /** Why it cannot be on; null where it makes no difference. */
  readonly refused: string | null;
  readonly instead: string;
}

/** Every gate llm-d has or had. */
const GATES: Readonly<Record<string, Gate>> = {
  flowControl: {
    refused:
      'this version has no flow control; leave the gate out, and requests are scheduled as they come',
    instead: 'requests are scheduled as they come',
  },
  haPopulateNonLeaderDatastore: {
    refused: null,
    instead: 'every Warmpath follows every engine, so there is no leader',
  },
  dataLayer: { refused: null, instead: 'the data layer is always on' },
  prepareDataPlugins: { refused: null, instead: 'producers run before every decision' },
  enableLegacyMetrics: {
    refused: null,
    instead: 'Warmpath reads the metrics of each engine itself',
  },
};

/** Reads gates, `flowControl` and `saturationDetector`. */
export function translateFlowControl(
  file: EndpointPickerFile,
  plugins: PluginList,
  translation: Translation,
): void {
  for (const [position, written] of file.featureGates.entries()) {
    translateGate(written, ['featureGates', position], translation);
  }
  if (file.flowControl) {
    const { usageLimitPolicyPluginRef, priorityBands, ...rest } = file.flowControl;
    const bands = [...priorityBands, rest.defaultPriorityBand, rest.defaultNegativePriorityBand];
    const named = bands.flatMap((band) => [band?.fairnessPolicyRef, band?.orderingPolicyRef]);
    for (const name of [usageLimitPolicyPluginRef, rest.saturationDetector?.pluginRef, ...named]) {
      if (name !== undefined) plugins.use(name);
    }
    const text =
      'has no effect: llm-d looks at it only with the gate `flowControl`, and this version has no flow control';
    translation.warn(['flowControl'], text);
  }
  if (file.saturationDetector) {
    const { pluginRef } = file.saturationDetector;
    if (pluginRef !== undefined) plugins.use(pluginRef);
    const text =
      'has no effect: this version turns no request away for saturation; busy endpoints score low instead';
    translation.warn(['saturationDetector'], text);
  }
}

function translateGate(
  written: string,
  path: readonly (string | number)[],
  translation: Translation,
): void {
  const [name = '', value = 'true', ...more] = written.split('=').map((part) => part.trim());
  const gate = Object.hasOwn(GATES, name) ? GATES[name] : undefined;
  if (gate === undefined) {
    const known = Object.keys(GATES);
    const hint = suggestion(name, known) || `; there are ${known.join(', ')}`;
    translation.fault(path, 'value', `unknown feature gate \`${name}\`${hint}`);
  } else if (more.length > 0 || !/^(true|false)$/i.test(value)) {
    const text = `expected ${name}, ${name}=true or ${name}=false, got ${JSON.stringify(written)}`;
    translation.fault(path, 'value', text);
  } else if (gate.refused !== null && /^true$/i.test(value)) {
    translation.fault(path, 'value', `\`${name}\` is refused: ${gate.refused}`);
  } else if (gate.refused === null) {
    translation.warn(path, `\`${written}\` has no effect: ${gate.instead}`);
  }
}
