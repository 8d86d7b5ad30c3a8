/** How many characters a piece has, about. */
const pieceCharacters = 65_536;

/** An answer of text in pieces; they are made as the client takes them. */
export function textResponse(texts: Iterable<string>, headers: Readonly<Record<string, string>>): Response {
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

/** Small texts put together. */
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
