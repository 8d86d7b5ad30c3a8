import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import {
  type ClientRequest,
  Agent as HttpAgent,
  type IncomingMessage,
  request as requestHttp,
} from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import { z } from 'zod';
import { type ErrorCode, FirnError, messageOf } from '../../lake/base/errors.ts';
import { proxyEnv } from '../../lake/base/proxy.ts';

// Asks the cloud by its HTTP API: one connection, outwards, through a proxy where there is one.

/** A request on which nothing moves for so long is given up. */
const idleMsMax = 30_000;
const answerBytesMax = 1024 * 1024;

export interface CloudClient extends Disposable {
  readonly url: string;
  /**
   * `data` of the answer. Throws FirnError: `denied`, `invalid`, `not-found`, `conflict`; `unavailable` for what may work
   * later, with what the cloud says of when.
   */
  ask(
    path: string,
    ask?: { readonly body?: object; readonly token?: string; readonly signal?: AbortSignal },
  ): Promise<unknown>;
}

export interface CloudAddress {
  readonly url: string;
  /** Authorities that the cloud's certificate is believed of, PEM; empty: those that the system knows. */
  readonly caFile: string;
  /** Empty: none. */
  readonly proxy: string;
}

const answerSchema = z.union([
  z.object({ status: z.literal('success'), data: z.unknown() }),
  z.object({ status: z.literal('error'), error: z.string() }),
]);

export function openCloudClient({ url, caFile, proxy }: CloudAddress): CloudClient {
  const { protocol } = new URL(url);
  const reuse = { keepAlive: true, maxSockets: 2, timeout: idleMsMax, ...proxyEnv(proxy) };
  const agent =
    protocol === 'https:'
      ? new HttpsAgent({ ...reuse, minVersion: 'TLSv1.2', ...(caFile && { ca: readFileSync(caFile) }) })
      : new HttpAgent(reuse);
  const send = protocol === 'https:' ? requestHttps : requestHttp;
  return {
    url,
    ask: async (path, { body, token, signal } = {}) => {
      const request = send(new URL(path, url), {
        ...{ agent, method: body === undefined ? 'GET' : 'POST', timeout: idleMsMax },
        ...(signal && { signal }),
        headers: {
          ...(body && { 'content-type': 'application/json' }),
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
        },
      });
      request.on('timeout', () => request.destroy(new Error(`nothing came for ${idleMsMax} ms`)));
      const answer = await exchange(request, body).catch((cause: unknown) => {
        signal?.throwIfAborted();
        throw new FirnError({
          ...{ code: 'unavailable', operation: 'ask the cloud', subject: url, cause, answered: false },
          message: `the cloud at ${url} does not answer: ${messageOf(cause)}`,
        });
      });
      return dataOf(url, answer);
    },
    [Symbol.dispose]: () => agent.destroy(),
  };
}

interface Answer {
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly text: string;
}

async function exchange(request: ClientRequest, body: object | undefined): Promise<Answer> {
  request.end(body === undefined ? undefined : JSON.stringify(body));
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    bytes += part.byteLength;
    if (bytes > answerBytesMax)
      throw new Error(`its answer is larger than ${answerBytesMax} bytes (answerBytesMax)`);
    parts.push(part);
  }
  const text = Buffer.concat(parts).toString();
  return { status: response.statusCode ?? 0, retryAfter: response.headers['retry-after'], text };
}

const codes: Readonly<Record<number, ErrorCode>> = {
  400: 'invalid',
  401: 'denied',
  403: 'denied',
  404: 'not-found',
  409: 'conflict',
  413: 'invalid',
};

function dataOf(url: string, { status, retryAfter = '', text }: Answer): unknown {
  const answer = answerSchema.safeParse(parsed(text)).data;
  if (answer?.status === 'success' && status === 200) return answer.data;
  // What is not in the cloud's own form comes from something on the way, and may be gone later.
  const code = (answer && codes[status]) ?? 'unavailable';
  const why = answer?.status === 'error' ? answer.error : 'not as Firn answers';
  throw new FirnError({
    ...{ code, operation: 'ask the cloud', subject: url },
    message: `the cloud at ${url} answers ${status}: ${why}`,
    ...(code === 'unavailable' && {
      answered: true,
      ...(/^\d{1,6}$/.test(retryAfter) && { retryAfterMs: Number(retryAfter) * 1000 }),
    }),
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
