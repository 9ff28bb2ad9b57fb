// CPU time of another process, all its threads, from the kernel's own accounting.

import { readdirSync, readFileSync } from 'node:fs';

/** Nanoseconds of CPU that the live threads of `pid` and of its children have used so far. */
export function processCpuNs(pid: number): number {
  let total = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    try {
      total += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]);
      const children = readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').trim();
      for (const child of children === '' ? [] : children.split(' ')) {
        total += processCpuNs(Number(child));
      }
    } catch {
      // The thread ended between the listing and the reading.
    }
  }
  return total;
}
