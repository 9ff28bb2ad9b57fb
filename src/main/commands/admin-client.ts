// Asks the admin port of a running router, for commands that explain what it does.

/** An answer with its status; the body is parsed JSON. */
export interface AdminAnswer {
  readonly status: number;
  readonly body: unknown;
}

/** Where `warmpath serve` listens for administrators unless it is told otherwise. */
export const ADMIN_URL_DEFAULT = 'http://127.0.0.1:8081';

/** Sends one question; a string says why there is no answer. */
export async function askAdmin(
  adminUrl: string,
  path: string,
  request: RequestInit = {},
): Promise<AdminAnswer | string> {
  const base = /^https?:\/\//.test(adminUrl) ? adminUrl : `http://${adminUrl}`;
  const url = `${base.replace(/\/+$/, '')}${path}`;
  try {
    const response = await fetch(url, request);
    return { status: response.status, body: await response.json() };
  } catch (error) {
    const { cause } = error as { readonly cause?: unknown };
    const reason = cause instanceof Error && cause.message !== '' ? cause.message : String(error);
    return `no answer from ${url}: ${reason}; --admin URL names the admin port of a running router`;
  }
}

/** The error text of an answer, null when it has none. */
export function errorText(body: unknown): string | null {
  const { error } = (body ?? {}) as {
    readonly error?: { readonly message?: string; readonly code?: string };
  };
  if (error === undefined) return null;
  return `${error.message ?? 'an error without a text'} (${error.code ?? 'no code'})`;
}
