import type { HttpBindings } from '@hono/node-server';
import type { Context } from 'hono';
import { readMessage } from './read-message.ts';

/**
 * Reads a request's body as far as `bodyBytesMax`; what says or turns out to be larger is not read on. `cut-off`: the
 * sender went away before its end.
 */
export async function readBody(
  context: Context,
  bodyBytesMax: number,
): Promise<Uint8Array | 'too-large' | 'cut-off'> {
  // Where there is a request of Node behind it, the streams of the web are spared, which cost more than they carry.
  const { incoming } = (context.env ?? {}) as Partial<HttpBindings>;
  if (incoming !== undefined) return readMessage(incoming, bodyBytesMax);
  const request = context.req.raw;
  if (Number(request.headers.get('content-length') ?? 0) > bodyBytesMax) return 'too-large';
  if (request.body === null) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of request.body) {
      bytes += chunk.length;
      if (bytes > bodyBytesMax) return 'too-large'; // leaving the loop cancels the stream
      chunks.push(chunk);
    }
  } catch {
    return 'cut-off';
  }
  return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks, bytes);
}
