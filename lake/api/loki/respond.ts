import type { Context } from 'hono';
import { hasCode, messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { LogqlError, type LogqlErrorType } from '../../logql/errors.ts';

const statusCodes: Readonly<Record<LogqlErrorType, number>> = {
  parse: 400,
  pipeline: 400,
  execution: 400,
  limit: 400,
  canceled: 499,
  timeout: 504,
};

const headers = { 'content-type': 'application/json; charset=UTF-8' };
/** How many characters a piece has, about. */
const pieceCharacters = 65_536;

/** An answer of JSON text in pieces; they are made as the client takes them. */
export function succeedWith(texts: Iterable<string>): Response {
  const pieces = gathered(texts)[Symbol.iterator]();
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      const { done, value } = pieces.next();
      if (done) controller.close();
      else controller.enqueue(encoder.encode(value));
    },
  });
  return new Response(body, { headers });
}

function* gathered(texts: Iterable<string>): Generator<string> {
  let piece = '';
  for (const text of texts) {
    piece += text;
    if (piece.length < pieceCharacters) continue;
    yield piece;
    piece = '';
  }
  if (piece !== '') yield piece;
}

/** An answer without Loki's envelope. */
export const bare = (data: unknown): Response => new Response(JSON.stringify(data), { headers });

/** An answer in Loki's envelope. */
export const succeed = (data: unknown): Response => bare({ status: 'success', data });

/** The answer to whatever a handler has thrown: plain text, as Loki's; what was not foreseen is logged. */
export function failWith(error: unknown, c: Context, logger: Logger): Response {
  const status = statusOf(error, c);
  if (status === 500) logger.error('LogQL request failed', { path: c.req.path, error });
  return new Response(messageOf(error), {
    status,
    headers: { 'content-type': 'text/plain; charset=utf-8' },
  });
}

function statusOf(error: unknown, c: Context): number {
  if (error instanceof LogqlError) return statusCodes[error.type];
  if (c.req.raw.signal.aborted) return 499;
  if (hasCode(error, 'invalid') || hasCode(error, 'limit')) return 400;
  if (hasCode(error, 'unsupported')) return 501;
  return hasCode(error, 'unavailable') ? 503 : 500;
}
