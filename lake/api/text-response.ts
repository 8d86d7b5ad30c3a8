import { bytePieces } from '../base/byte-pieces.ts';

/** An answer of text in pieces; they are made as the client takes them. */
export function textResponse(texts: Iterable<string>, headers: Readonly<Record<string, string>>): Response {
  const pieces = bytePieces(texts);
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      const { done, value } = pieces.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
  });
  return new Response(body, { headers });
}

/** The same of bytes that come from elsewhere; throws what making the first pieces throws. */
export async function bytesResponse(
  pieces: AsyncIterable<Uint8Array<ArrayBuffer>>,
  headers: Readonly<Record<string, string>>,
): Promise<Response> {
  const iterator = pieces[Symbol.asyncIterator]();
  const [first, second] = [await iterator.next(), await iterator.next()];
  // Most answers are one piece, which needs no stream.
  if (second.done) return new Response(first.done ? null : first.value, { headers });
  const ready = [first.value, second.value];
  const body = new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      const value = ready.shift() ?? (await iterator.next()).value;
      if (value === undefined) controller.close();
      else controller.enqueue(value);
    },
    cancel: async () => void (await iterator.return?.()),
  });
  return new Response(body, { headers });
}
