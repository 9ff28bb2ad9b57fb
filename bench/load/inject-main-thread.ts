// Loaded into a router's process before the router (`--import`): measures the delay of the main
// thread's event loop, or blocks it, from one signal to the next. Worker threads load it too and
// must not be touched.

import { monitorEventLoopDelay } from 'node:perf_hooks';
import { isMainThread } from 'node:worker_threads';

const PERIOD_MS = 200;
const BLOCKED_MS = 150;
const NS_PER_MS = 1e6;

if (isMainThread) {
  measureDelays();
  blockOnDemand();
}

/** SIGUSR2 prints what was measured since the last one. */
function measureDelays(): void {
  // The histogram holds whole intervals: one of this length is no delay at all.
  const resolution = 1;
  const delays = monitorEventLoopDelay({ resolution });
  delays.enable();
  process.on('SIGUSR2', () => {
    const ms = (percentile: number): string =>
      Math.max(0, delays.percentile(percentile) / NS_PER_MS - resolution).toFixed(2);
    process.stdout.write(`loop delay p50 ${ms(50)} p99 ${ms(99)} max ${ms(100)} ms\n`);
    delays.reset();
  });
}

/** SIGURG blocks the thread 150 of every 200 ms, until the next one. */
function blockOnDemand(): void {
  let timer: NodeJS.Timeout | null = null;
  process.on('SIGURG', () => {
    if (timer !== null) {
      clearInterval(timer);
      timer = null;
      return;
    }
    timer = setInterval(() => {
      const until = performance.now() + BLOCKED_MS;
      while (performance.now() < until);
    }, PERIOD_MS);
  });
}
