import { z } from 'zod';
import type { Clock } from '../../../lake/base/clock.ts';
import { type ErrorCode, FirnError, messageOf } from '../../../lake/base/errors.ts';
import { parseExactJson, printExactJson } from '../exact-json.ts';

// The client's side of the Iceberg REST catalog protocol, as far as Firn needs it: configuration, authentication, JSON
// with exact 64-bit numbers, and errors as what they mean for a commit.

export interface RestCatalogSettings {
  /** Of the catalog, with or without `/v1` at its end. */
  readonly uri: string;
  readonly warehouse: string;
  /** A bearer token; or client id and secret to get some with; all empty for a catalog that asks for nothing. */
  readonly token: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly scope: string;
  /** Empty: the catalog's own `/v1/oauth/tokens`. */
  readonly oauthUri: string;
}

export interface RestCatalog {
  /**
   * One request below `/v1/{prefix}`; `path` holds encoded parts. Throws FirnError `not-found`, `conflict`, `denied`,
   * `invalid`, and `unavailable` where it is open whether something was done.
   */
  request(method: 'GET' | 'POST', path: string, options?: RestRequest): Promise<RestAnswer>;
}

interface RestRequest {
  readonly body?: object;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface RestAnswer {
  /** 304 for an `If-None-Match` that does. */
  readonly status: number;
  readonly json: unknown;
  readonly etag: string | undefined;
}

const requestMsMax = 60_000;
/** An answer that is larger is refused. */
const answerBytesMax = 256 * 1024 * 1024;
/** A token is not used in the last part of its time. */
const tokenMarginMs = 30_000;

const configJson = z.looseObject({
  defaults: z.record(z.string(), z.string()).nullish(),
  overrides: z.record(z.string(), z.string()).nullish(),
});
const tokenJson = z.looseObject({ access_token: z.string(), expires_in: z.number().optional() });
const errorJson = z.looseObject({
  error: z.looseObject({ message: z.string(), type: z.string().optional() }),
});

export function restCatalog(settings: RestCatalogSettings, clock: Clock): RestCatalog {
  const root = settings.uri.replace(/\/+$/, '').replace(/\/v1$/, '');
  let token: { readonly text: string; readonly untilMs: number } | undefined;
  let prefix: Promise<string> | undefined;

  async function authorization(): Promise<Record<string, string>> {
    if (settings.token !== '') return { Authorization: `Bearer ${settings.token}` };
    if (settings.clientId === '') return {};
    if (!token || token.untilMs <= clock.monotonicMs()) token = await newToken(root, settings, clock);
    return { Authorization: `Bearer ${token.text}` };
  }

  async function send(method: string, url: string, { body, headers = {} }: RestRequest): Promise<RestAnswer> {
    for (let attempt = 0; ; attempt++) {
      const answer = await exchange(method, url, {
        headers: {
          ...(await authorization()),
          ...(body && { 'Content-Type': 'application/json' }),
          ...headers,
        },
        ...(body && { body: printExactJson(body) }),
      });
      if (answer.ok || answer.status === 304) return answer;
      // A token may end before its time; one that is given can't be made anew.
      if ((answer.status === 401 || answer.status === 419) && token && attempt === 0) token = undefined;
      else throw failure(method, url, answer);
    }
  }

  async function findPrefix(): Promise<string> {
    const query = settings.warehouse === '' ? '' : `?warehouse=${encodeURIComponent(settings.warehouse)}`;
    const url = `${root}/v1/config${query}`;
    const { json } = await send('GET', url, {});
    const { defaults, overrides } = parsed(configJson, json, url);
    const named = overrides?.prefix ?? defaults?.prefix ?? '';
    return named === '' ? '' : `/${named}`;
  }

  return {
    request: async (method, path, options = {}) => {
      prefix ??= findPrefix();
      prefix.catch(() => {
        prefix = undefined;
      });
      return send(method, `${root}/v1${await prefix}${path}`, options);
    },
  };
}

async function newToken(root: string, settings: RestCatalogSettings, clock: Clock) {
  const url = settings.oauthUri || `${root}/v1/oauth/tokens`;
  const form = new URLSearchParams({
    grant_type: 'client_credentials',
    client_id: settings.clientId,
    client_secret: settings.clientSecret,
    scope: settings.scope,
  });
  const startedMs = clock.monotonicMs();
  const answer = await exchange('POST', url, { body: form });
  if (!answer.ok) throw failure('POST', url, answer);
  const { access_token: text, expires_in: seconds = 3600 } = parsed(tokenJson, answer.json, url);
  return { text, untilMs: startedMs + Math.max(seconds * 1000 - tokenMarginMs, seconds * 500) };
}

interface Answer extends RestAnswer {
  readonly ok: boolean;
  readonly text: string;
}

async function exchange(method: string, url: string, init: RequestInit): Promise<Answer> {
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, { method, ...init, signal: AbortSignal.timeout(requestMsMax) });
    if (Number(response.headers.get('content-length') ?? 0) > answerBytesMax)
      throw new Error(`the answer is larger than ${answerBytesMax} bytes (answerBytesMax)`);
    text = await response.text();
  } catch (cause) {
    const message = `${method} ${url} was not answered: ${messageOf((cause as Error).cause ?? cause)}`;
    throw new FirnError({ code: 'unavailable', operation: 'ask catalog', subject: url, message, cause });
  }
  const { ok, status } = response;
  return { ok, status, text, json: jsonOf(text), etag: response.headers.get('etag') ?? undefined };
}

function jsonOf(text: string): unknown {
  try {
    return parseExactJson(text);
  } catch {
    return undefined;
  }
}

export function parsed<T>(schema: z.ZodType<T>, json: unknown, url: string): T {
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new FirnError({
    code: 'invalid',
    operation: 'ask catalog',
    subject: url,
    message: `${url} did not answer as an Iceberg REST catalog: ${issue?.path.join('.')} ${issue?.message}`,
    hint: 'check catalog.uri',
  });
}

/** A status that says for certain that nothing was done is no `unavailable`. */
const codes: Readonly<Record<number, ErrorCode>> = {
  400: 'invalid',
  401: 'denied',
  403: 'denied',
  404: 'not-found',
  406: 'unsupported',
  409: 'conflict',
  412: 'conflict',
  419: 'denied',
};

function failure(method: string, url: string, { status, json, text }: Answer): FirnError {
  const said = errorJson.safeParse(json);
  const why = said.success ? said.data.error.message : text.slice(0, 200);
  return new FirnError({
    code: codes[status] ?? 'unavailable',
    operation: 'ask catalog',
    subject: url,
    message: `${method} ${url} was answered with ${status}: ${why}`,
    answered: true,
  });
}
