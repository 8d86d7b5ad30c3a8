import type { IncomingMessage } from 'node:http';
import type { Http2ServerRequest } from 'node:http2';

/**
 * Reads a request's body as far as `bodyBytesMax`; what says or turns out to be larger is not read on. `cut-off`: the
 * sender went away before its end.
 */
export function readMessage(
  request: IncomingMessage | Http2ServerRequest,
  bodyBytesMax: number,
): Promise<Uint8Array | 'too-large' | 'cut-off'> {
  return new Promise((resolve) => {
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    const tooLarge = (): void => {
      request.pause();
      resolve('too-large');
    };
    if (Number(request.headers['content-length'] ?? 0) > bodyBytesMax) {
      tooLarge();
      return;
    }
    request.on('data', (chunk: Uint8Array) => {
      bytes += chunk.length;
      chunks.push(chunk);
      if (bytes > bodyBytesMax) tooLarge();
    });
    request.on('end', () => {
      const [only] = chunks;
      resolve(chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks, bytes));
    });
    request.on('error', () => resolve('cut-off'));
    request.on('close', () => resolve('cut-off'));
  });
}
