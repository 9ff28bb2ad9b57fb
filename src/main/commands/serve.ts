// `warmpath serve`: reads the configuration, starts the router (and, when no endpoint is configured,
// four simulated engines before it), says where it listens, drains on SIGTERM or SIGINT.

import type { Configuration } from '#config/configuration.js';
import type { EngineSimFleet } from '#simulation/fleet.js';
import { ComposedRouter } from '../compose.js';
import { type CommandLineFlags, readConfiguration } from '../configuration.js';
import { type ChosenCore, coreOrExplain } from '../core-choice.js';
import { startDemoFleet, withDemoFleet } from '../demo.js';

export type ServeOptions = CommandLineFlags;

/** Runs the router until a signal; returns the exit code. */
export async function serve(options: ServeOptions): Promise<number> {
  const configured = readConfiguration(options);
  const chosen = await coreOrExplain();
  if (configured === null || chosen === null) return 2;
  let demo: EngineSimFleet | null = null;
  let configuration: Configuration = configured;
  // A file that lists none yet may list some later.
  if (configured.endpoints.length === 0 && configured.endpointsFile === null) {
    demo = await startDemoFleet();
    configuration = withDemoFleet(configured, demo);
  }
  const router = await startOrExplain(configuration, chosen);
  if (router === null) {
    await demo?.stop();
    return 1;
  }
  process.stdout.write(`warmpath is ready on ${router.url}, admin on ${router.adminUrl}\n`);
  const signalled = untilSignal();
  if (demo !== null) {
    // The lines to try show a match, which takes a proven tokenizer.
    await Promise.race([router.untilProven(), signalled]);
    announce(router, demo);
  }
  await signalled;
  process.stdout.write('warmpath is draining; a second signal ends it at once\n');
  // Not process.exit: it aborts, with a core dump, while an event socket is open.
  process.once('SIGTERM', () => process.kill(process.pid, 'SIGKILL'));
  process.once('SIGINT', () => process.kill(process.pid, 'SIGKILL'));
  await router.stop();
  await demo?.stop();
  return 0;
}

async function startOrExplain(
  configuration: Configuration,
  chosen: ChosenCore,
): Promise<ComposedRouter | null> {
  const router = new ComposedRouter(configuration, chosen);
  try {
    await router.start();
    return router;
  } catch (error) {
    await router.stop();
    // Last, so that it is not lost among the log lines.
    process.stderr.write(`warmpath could not start: ${explainStart(error)}\n`);
    return null;
  }
}

function explainStart(error: unknown): string {
  const { code, message, port, address } = error as NodeJS.ErrnoException & {
    readonly port?: number;
    readonly address?: string;
  };
  if (code === 'EADDRINUSE') {
    return `${address}:${port} is in use; choose another with --listen or --admin`;
  }
  if (code === 'EACCES') return `${address}:${port} may not be opened by this user`;
  return message;
}

function announce({ url, adminUrl }: ComposedRouter, demo: EngineSimFleet): void {
  const names = demo.engines.map((engine) => engine.url.replace('http://', '')).join(', ');
  process.stdout.write(`no endpoint configured: four simulated engines at ${names}\n`);
  const body =
    `{"model":"${demo.engines[0]?.modelId}","max_tokens":16,"messages":[{"role":"user","content":"` +
    `${'Tell me how a KV cache makes a long prompt cheap. '.repeat(8).trim()}"}]}`;
  const curl = `curl -si ${url}/v1/chat/completions -H 'content-type: application/json' -H 'x-request-id: `;
  process.stdout.write(
    `\nTry it: a cold prompt, the same prompt again, and why it went where it went\n\n` +
      `${curl}first' -d '${body}'\n\n${curl}second' -d '${body}'\n\n` +
      `curl -s ${adminUrl}/debug/decisions/second\n\n`,
  );
}

function untilSignal(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGTERM', () => resolve());
    process.once('SIGINT', () => resolve());
  });
}
