import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { connectEngine } from './ask.ts';
import { createAnswerReader, jsonFrame, readJsonFrame, sendAnswer } from './frames.ts';

/** What a socket carries of an answer. */
async function carried(answer: Response): Promise<Buffer> {
  const folder = mkdtempSync(join(tmpdir(), 'firn-frames-'));
  const path = join(folder, 'socket');
  const server = createServer((socket: Socket) => void sendAnswer(socket, answer));
  server.listen(path);
  await once(server, 'listening');
  const pieces: Buffer[] = [];
  const socket = await connectEngine(path, (bytes) => pieces.push(Buffer.from(bytes)) > 0);
  socket.resume();
  await once(socket, 'close');
  server.close();
  rmSync(folder, { recursive: true });
  return Buffer.concat(pieces);
}

test('an answer is read in whatever pieces it comes, and nothing behind it', async () => {
  const text = 'a row\n'.repeat(100_000);
  const bytes = await carried(new Response(text, { status: 400, headers: { 'content-type': 'text/csv' } }));
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: bytes.length })), (cuts) => {
      const seen: unknown[] = [];
      const body: Buffer[] = [];
      const read = createAnswerReader({
        head: (head) => seen.push(head),
        body: (piece) => body.push(Buffer.from(piece)),
        end: () => seen.push('end'),
      });
      const ends = [...new Set([...cuts, 1, 3, bytes.length])].sort((a, b) => a - b);
      ends.forEach((end, index) => {
        read(bytes.subarray(ends[index - 1] ?? 0, end));
      });
      read(Buffer.from('more'));
      expect(seen).toEqual([{ status: 400, contentType: 'text/csv' }, 'end']);
      expect(Buffer.concat(body).toString()).toBe(text);
    }),
    { numRuns: 50, seed: 8 },
  );
});

test('what follows the first frame stays in the socket', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'firn-frames-'));
  const path = join(folder, 'socket');
  const { promise: accepted, resolve } = Promise.withResolvers<Socket>();
  const server = createServer(resolve);
  server.listen(path);
  await once(server, 'listening');
  const client = await connectEngine(path, () => true);
  client.end(Buffer.concat([jsonFrame({ session: 7 }), Buffer.from('Q...')]));
  const socket = await accepted;
  expect(await readJsonFrame(socket)).toEqual({ session: 7 });
  expect(Buffer.concat(await socket.toArray()).toString()).toBe('Q...');
  server.close();
  rmSync(folder, { recursive: true });
});
