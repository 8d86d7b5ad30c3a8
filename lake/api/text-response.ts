import { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { constants, createGzip, gzipSync } from 'node:zlib';
import type { Context, MiddlewareHandler } from 'hono';
import { accepts } from 'hono/accepts';
import { compress } from 'hono/compress';

/** How many characters a piece has, about. */
const pieceCharacters = 65_536;

type Headers = Readonly<Record<string, string>>;

/** What a response was made of, so that compressing it need not read it. */
interface TextAnswer {
  /** Of a large one its pieces; they can be taken once. */
  readonly text: string | Iterable<string>;
  readonly headers: Headers;
}

const answers = new WeakMap<Response, TextAnswer>();

/** An answer of text in pieces: a small one is made at once, the pieces of others as the client takes them. */
export function textResponse(texts: Iterable<string>, headers: Headers): Response {
  const pieces = gathered(texts);
  const { value: first = '' } = pieces.next();
  // No other than the last piece is short.
  const text = first.length < pieceCharacters ? first : joined(first, pieces);
  const response = new Response(typeof text === 'string' ? text : streamOf(text), { headers });
  answers.set(response, { text, headers });
  return response;
}

/** Small texts put together. */
function* gathered(texts: Iterable<string>): Generator<string, undefined> {
  let piece = '';
  for (const text of texts) {
    piece += text;
    if (piece.length < pieceCharacters) continue;
    yield piece;
    piece = '';
  }
  if (piece !== '') yield piece;
}

function* joined(first: string, others: Iterable<string>): Generator<string> {
  yield first;
  yield* others;
}

/** Whoever else the thread serves has its turn between two pieces. */
async function* inTurns(pieces: Iterable<string>): AsyncGenerator<string, undefined> {
  for (const piece of pieces) {
    yield piece;
    await setImmediate();
  }
}

function streamOf(texts: Iterable<string>): ReadableStream<Uint8Array> {
  const pieces = inTurns(texts);
  const encoder = new TextEncoder();
  const pull = async (controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> => {
    const { done, value } = await pieces.next();
    if (done) controller.close();
    else controller.enqueue(encoder.encode(value));
  };
  // Nothing is made before it is asked for: it may be compressed instead.
  return new ReadableStream<Uint8Array>({ pull }, { highWaterMark: 0 });
}

/** A shorter text is sent as it is. */
const compressedCharactersMin = 1024;
/** Twice as fast as zlib's own choice; answers, which are a tenth of their text, become a fifth larger by it. */
const level = constants.Z_BEST_SPEED;

/** Compresses answers for clients that take gzip: those of `textResponse` without reading them first. */
export function gzipAnswers(): MiddlewareHandler {
  const others = compress({ encoding: 'gzip' });
  return async (c, next) => {
    await next();
    const answer = answers.get(c.res);
    if (answer === undefined) return others(c, async () => undefined);
    const { text, headers } = answer;
    if (typeof text === 'string' && text.length < compressedCharactersMin) return;
    if (!takesGzip(c)) return c.header('vary', 'Accept-Encoding');
    // Without an answer before it, the new one is taken as it is.
    c.res = undefined;
    c.res = new Response(gzipped(text), {
      headers: { ...headers, 'content-encoding': 'gzip', vary: 'Accept-Encoding' },
    });
  };
}

const takesGzip = (c: Context): boolean =>
  accepts(c, {
    ...{ header: 'Accept-Encoding', supports: ['gzip'], default: '' },
    match: (offers) => {
      const offer = offers.find(({ type }) => type === 'gzip') ?? offers.find(({ type }) => type === '*');
      return offer !== undefined && offer.q > 0 ? 'gzip' : '';
    },
  }) === 'gzip';

const gzipped = (text: TextAnswer['text']): Uint8Array<ArrayBuffer> | ReadableStream =>
  typeof text === 'string'
    ? gzipSync(text, { level })
    : (Readable.toWeb(Readable.from(inTurns(text)).compose(createGzip({ level }))) as ReadableStream);
