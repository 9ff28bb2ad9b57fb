// Doctor's checks: pure functions from what was seen to a verdict and the exact flag to add.

import type { EngineKind } from '#contracts/endpoint.js';
import { ENGINE_ADVICE, type EngineAdvice } from './doctor-engines.js';
import type { DoctorStatus, ProbeAnswer } from './doctor-probe.js';

export interface Check {
  readonly verdict: 'PASS' | 'WARN' | 'FAIL';
  readonly subject: string;
  readonly finding: string;
  /** What to do; empty when nothing is wrong. */
  readonly remedy: string;
}

export function checkReachable(status: DoctorStatus): Check {
  const [problem] = Object.values(status.fleet.problems);
  if (status.models.length > 0) return pass('reachable', `${status.endpoints[0]?.engine} answers`);
  return fail(
    'reachable',
    problem ?? 'the engine did not list its models in time',
    'check address and port, that the engine has finished loading, and --api-key / TLS settings',
  );
}

export function checkModels(status: DoctorStatus): readonly Check[] {
  const ids = status.models.map((model) => model.id).join(', ');
  const sizes = status.endpoints.map((endpoint) => endpoint.blockSize);
  const canonical = status.pools.map((pool) => pool.blockSize).join(', ');
  const known =
    sizes.every((size) => size !== null) || status.pools.every((pool) => pool.blockSize !== null);
  return [
    pass('model', ids),
    known
      ? pass('block size', `engine ${sizes.join(', ')}, router ${canonical}`)
      : warn(
          'block size',
          'not known yet',
          'it is learned from /metrics or the first event; is /metrics reachable?',
        ),
  ];
}

export function checkProof(status: DoctorStatus): Check {
  const model = status.models.find(({ adapter }) => adapter === '');
  const from = model?.tokenizer ?? 'none';
  switch (model?.proof) {
    case 'proven':
      return pass('token ids', `equal to the engine's /tokenize on every probe chat (${from})`);
    case 'not-needed':
      return warn(
        'token ids',
        'the engine tokenises every prompt: exact, but slow',
        'give --tokenizer MODEL=DIR',
      );
    case 'unverified':
      return warn(
        'token ids',
        `not compared: ${model.proofReason ?? ''} (${from})`,
        'an engine with /tokenize can be compared',
      );
    case 'unproven':
      return fail(
        'token ids',
        `differ: ${model.proofReason ?? ''} (${from})`,
        'give --tokenizer MODEL=DIR with the very files the engine serves',
      );
    default:
      return fail(
        'token ids',
        `not compared: ${model?.proofReason ?? 'no tokenizer'}`,
        'give --tokenizer MODEL=DIR',
      );
  }
}

/** `asked` names the endpoints that answered a probe, and so had events to publish. */
export function checkEvents(status: DoctorStatus, asked: ReadonlySet<string>): readonly Check[] {
  return status.endpoints.flatMap(({ endpoint, engine, events }) => {
    const advice = ENGINE_ADVICE[engine];
    if (events === null) {
      const finding = `${endpoint} names no event socket, so what it holds is guessed by history`;
      const remedy = [advice.events, advice.tell].filter((part) => part !== '').join('; ');
      return [fail('events', finding, remedy)];
    }
    const arriving = checkArriving(events, asked.has(endpoint), advice);
    return [arriving, checkReplay(endpoint, events, advice)];
  });
}

type FollowedEvents = NonNullable<DoctorStatus['endpoints'][number]['events']>;

function checkArriving(
  { source, state, framesReceived }: FollowedEvents,
  asked: boolean,
  advice: EngineAdvice,
): Check {
  if (framesReceived > 0) {
    return pass('events', `${framesReceived} frames from ${source.address}, publisher ${state}`);
  }
  const finding = `nothing came from ${source.address}, publisher ${state}`;
  if (!asked) return warn('events', `${finding}; no probe reached it`, 'run doctor again');
  return fail('events', finding, `is the port open to this host? ${advice.events}`);
}

function checkReplay(
  endpoint: string,
  { source, replays, replaysFailed }: FollowedEvents,
  advice: EngineAdvice,
): Check {
  if (source.replayAddress === null) {
    return warn(
      'replay',
      `${endpoint} has no replay socket: after a gap its cache is unknown until rebuilt`,
      advice.replay,
    );
  }
  if (replays > 0 && replaysFailed === 0) return pass('replay', `${source.replayAddress} answers`);
  return fail('replay', `${source.replayAddress} did not answer`, 'is the port open to this host?');
}

/** Compares the second probe's prediction with what the engine that answered it reported. */
export function checkPrediction(cold: ProbeAnswer, warm: ProbeAnswer, engine: EngineKind): Check {
  if (warm.status !== 200) {
    return fail(
      'prediction',
      `the probe was answered ${warm.status}: ${warm.body.slice(0, 200)}`,
      '',
    );
  }
  if (warm.reported === null) {
    return warn(
      'prediction',
      `${warm.predicted} of ${warm.promptTokens} tokens predicted, but the engine does not report cached tokens`,
      ENGINE_ADVICE[engine].report,
    );
  }
  const finding =
    `sent twice: predicted ${cold.predicted} then ${warm.predicted}, ` +
    `reported ${cold.reported ?? '?'} then ${warm.reported} of ${warm.reportedPromptTokens} tokens`;
  if (warm.predicted === warm.reported && warm.reported > 0) return pass('prediction', finding);
  if (warm.reported === 0) {
    return fail('prediction', finding, `the engine reused nothing: ${ENGINE_ADVICE[engine].reuse}`);
  }
  return fail(
    'prediction',
    finding,
    'prediction and engine disagree: see events and token ids above',
  );
}

function pass(subject: string, finding: string): Check {
  return { verdict: 'PASS', subject, finding, remedy: '' };
}

function warn(subject: string, finding: string, remedy: string): Check {
  return { verdict: 'WARN', subject, finding, remedy };
}

function fail(subject: string, finding: string, remedy: string): Check {
  return { verdict: 'FAIL', subject, finding, remedy };
}
