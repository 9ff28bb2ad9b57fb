// An engine's address as the native side reads it (`EngineAddress` of the data plane's settings).

import { assert } from '#contracts/assert.js';
import type { EndpointSecurity } from '#contracts/endpoint.js';

export interface EngineAddress {
  readonly tls: boolean;
  /** Host name or address, without brackets. */
  readonly host: string;
  readonly port: number;
  /** Value of the Host header. */
  readonly authority: string;
  /** Path of the base URL, empty for none. */
  readonly basePath: string;
  readonly apiKey: string | null;
  readonly caPem: string | null;
}

/** Takes a base URL apart; the configuration allows http and https only. */
export function engineAddress(baseUrl: string, security: EndpointSecurity): EngineAddress {
  const url = new URL(baseUrl);
  const tls = url.protocol === 'https:';
  assert(tls || url.protocol === 'http:', 'engines are http or https');
  return {
    tls,
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? (tls ? 443 : 80) : Number(url.port),
    authority: url.host,
    basePath: url.pathname === '/' ? '' : url.pathname,
    apiKey: security.apiKey,
    caPem: security.caPem,
  };
}
