import { type Context, Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { FirnError, hasCode, messageOf } from '../../base/errors.ts';
import { SqlError, sqlstateOf } from '../../sql/errors.ts';
import type { SqlSession } from '../../sql/sql-session.ts';
import { csvPieces } from './csv.ts';
import { jsonPieces } from './json.ts';

export interface SqlRouteOptions {
  /** Answers for whom the request is about; authentication has been done before. */
  readonly answer: (c: Context, statement: HttpStatement) => Promise<Response>;
  readonly bodyBytesMax?: number;
}

export interface HttpStatement {
  readonly sql: string;
  /** The media type of the answer. */
  readonly type: AnswerType;
  readonly signal: AbortSignal;
}

const arrowType = 'application/vnd.apache.arrow.stream';
const csvType = 'text/csv';
const answerTypes = [arrowType, csvType] as const;
type AnswerType = (typeof answerTypes)[number] | 'application/json';
const defaultBodyBytesMax = 1024 * 1024;

/**
 * `POST /api/v1/firn/sql` with `{"sql": "..."}` or plain text: one statement, answered as JSON, as CSV
 * (Accept: text/csv) or as an Arrow stream, as fast as the client reads.
 */
export function sqlRoutes({ answer, bodyBytesMax = defaultBodyBytesMax }: SqlRouteOptions): Hono {
  const app = new Hono();
  const tooLarge = (c: Context): Response =>
    failed(
      c,
      new SqlError('54000', `the request body is larger than ${bodyBytesMax} bytes (bodyBytesMax)`),
      413,
    );
  app.post('/api/v1/firn/sql', bodyLimit({ maxSize: bodyBytesMax, onError: tooLarge }), async (c) => {
    try {
      const accepted = c.req.header('accept');
      const type = answerTypes.find((each) => accepted?.includes(each)) ?? 'application/json';
      return await answer(c, { sql: await statementText(c), type, signal: c.req.raw.signal });
    } catch (error) {
      return failed(c, error, error instanceof SqlError ? 400 : statusOf(error));
    }
  });
  return app;
}

async function statementText(c: Context): Promise<string> {
  const body = await c.req.text();
  if (!c.req.header('content-type')?.includes('json')) return body;
  const sql = (parseJson(body) as { sql?: unknown } | null)?.sql;
  if (typeof sql === 'string') return sql;
  throw new SqlError('22023', 'the body has no text in its field "sql"', {
    hint: 'send {"sql": "SELECT ..."}',
  });
}

function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch (error) {
    throw new SqlError('22023', `the body is not JSON: ${messageOf(error)}`);
  }
}

/** Answers by a session in this process. */
export const answerBySession =
  (openSession: (c: Context) => Promise<SqlSession>): SqlRouteOptions['answer'] =>
  async (c, { sql, type, signal }) => {
    await using stack = new AsyncDisposableStack();
    const session = stack.use(await openSession(c));
    const [parsed, ...others] = await session.parse(sql);
    if (!parsed || others.length > 0) throw new SqlError('42601', 'send exactly one statement');
    const statement = await parsed.analyze();
    const result = stack.use(await statement.execute([], signal));
    const pieces =
      type === arrowType
        ? (await import('./arrow.ts')).arrowPieces(result)
        : type === csvType
          ? csvPieces(result)
          : jsonPieces(result, describe);
    const open = stack.move();
    return new Response(
      streamOf(pieces, () => open.disposeAsync()),
      {
        headers: { 'Content-Type': type === csvType ? `${csvType}; charset=utf-8` : type },
      },
    );
  };

/** Pulled as the client reads; whatever way it ends, `close` is called. */
function streamOf(
  pieces: AsyncGenerator<Uint8Array>,
  close: () => Promise<void>,
): ReadableStream<Uint8Array> {
  return new ReadableStream({
    pull: async (controller) => {
      try {
        const next = await pieces.next();
        if (!next.done) return controller.enqueue(next.value);
        await close();
        controller.close();
      } catch (error) {
        await close();
        controller.error(error);
      }
    },
    cancel: async () => {
      await pieces.return(undefined);
      await close();
    },
  });
}

/** Of the parameter `as_of`: one that is none, and a state that is not kept. */
const statusOf = (error: unknown): ContentfulStatusCode =>
  hasCode(error, 'invalid') || hasCode(error, 'not-found') ? 400 : 500;

const describe = (error: unknown): { code: string; message: string; position?: number; hint?: string } => ({
  code: sqlstateOf(error),
  message: messageOf(error),
  ...(error instanceof SqlError && error.position !== undefined && { position: error.position }),
  ...((error instanceof SqlError || error instanceof FirnError) &&
    error.hint !== undefined && { hint: error.hint }),
});

const failed = (c: Context, error: unknown, status: ContentfulStatusCode): Response =>
  c.json({ error: describe(error) }, status);
