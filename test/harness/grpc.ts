import { once } from 'node:events';
import type { ClientHttp2Session } from 'node:http2';

/** A gRPC message. */
export function framed(message: Uint8Array, compressed = 0): Buffer {
  const header = Buffer.alloc(5);
  header[0] = compressed;
  header.writeUInt32BE(message.length, 1);
  return Buffer.concat([header, message]);
}

/** One unary call by hand, and what came of it. */
export async function callRpc(
  client: ClientHttp2Session,
  path: string,
  body: Uint8Array,
  headers: Record<string, string> = {},
) {
  const stream = client.request({
    ...{ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers', ...headers },
  });
  let answer: Record<string, unknown> = {};
  stream.on('response', (first) => {
    answer = { ...answer, ...first };
  });
  stream.on('trailers', (last) => {
    answer = { ...answer, ...last };
  });
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  stream.end(Buffer.from(body));
  await once(stream, 'close');
  const details = Buffer.from(String(answer['grpc-status-details-bin'] ?? ''), 'base64').toString();
  return {
    http: answer[':status'],
    status: Number(answer['grpc-status']),
    message: decodeURIComponent(String(answer['grpc-message'] ?? '')),
    details,
    body: Buffer.concat(chunks),
  };
}
