// The routes of the data port that the router answers itself.

import type { LocalAnswer, LocalHandlers } from '#request/admit.js';
import type { RouterReports } from './reports.js';

const JSON_TYPE = ['content-type', 'application/json'] as const;

/** Handlers over the same reports as the admin port's. */
export function localHandlers(reports: RouterReports, modelList: () => string): LocalHandlers {
  return {
    '/v1/models': () => json(200, modelList()),
    '/health': () => json(200, '{"status":"ok"}'),
    '/ready': () => {
      const { status, body } = reports.ready();
      return json(status, JSON.stringify(body));
    },
    '/status': () => json(200, JSON.stringify(reports.status())),
    '/metrics': async () => {
      const { contentType, body } = await reports.metrics();
      return { status: 200, headers: [['content-type', contentType]], body };
    },
  };
}

function json(status: number, body: string): LocalAnswer {
  return { status, headers: [JSON_TYPE], body };
}
