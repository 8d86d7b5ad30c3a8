import { fstatSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { seededRandom } from '../contract/lake-fixtures.ts';

// A disk with a volatile write cache, as an NBD server: what was not flushed is nowhere but in this process. SIGKILL
// loses all of it; the message `{ seed, share, atFlush }` lets a random share of the blocks reach the medium first, in no
// order, as a real disk does that was busy when the power went; with `atFlush` it dies in the midst of its next flush.
// usage: volatile-disk-process.ts IMAGE SOCKET

const [image = '', socketPath = ''] = process.argv.slice(2);
const medium = openSync(image, 'r+');
const sizeBytes = fstatSync(medium).size;
const blockBytes = 4096;
const cache = new Map<number, Buffer>();

function blockOf(index: number): Buffer {
  const cached = cache.get(index);
  if (cached) return cached;
  const block = Buffer.alloc(blockBytes);
  readSync(medium, block, 0, blockBytes, index * blockBytes);
  return block;
}

/** Calls `each` for the part of every block that [offset, offset + length) touches. */
function pieces(
  offset: number,
  length: number,
  each: (index: number, start: number, end: number, at: number) => void,
): void {
  for (let at = 0; at < length; ) {
    const index = Math.floor((offset + at) / blockBytes);
    const start = (offset + at) % blockBytes;
    const end = Math.min(blockBytes, start + length - at);
    each(index, start, end, at);
    at += end - start;
  }
}

function read(offset: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  pieces(offset, length, (index, start, end, at) => void blockOf(index).copy(bytes, at, start, end));
  return bytes;
}

function write(offset: number, bytes: Buffer): void {
  pieces(offset, bytes.length, (index, start, end, at) => {
    const block = blockOf(index);
    bytes.copy(block, start, at, at + end - start);
    cache.set(index, block);
  });
}

function toMedium(indexes: Iterable<number>): void {
  for (const index of indexes) {
    const block = cache.get(index);
    if (block) writeSync(medium, block, 0, blockBytes, index * blockBytes);
  }
}

function flush(): void {
  if (dieAtFlush) die(dieAtFlush);
  else toMedium(cache.keys());
  cache.clear();
}

let dieAtFlush: { readonly seed: number; readonly share: number } | undefined;
let dead = false;

process.on('message', (cut: { seed: number; share: number; atFlush: boolean }) => {
  if (cut.atFlush) dieAtFlush = cut;
  else die(cut);
});

function die({ seed, share }: { readonly seed: number; readonly share: number }): void {
  dead = true;
  const random = seededRandom(seed);
  const survivors = [...cache.keys()].filter(() => random() < share);
  toMedium(survivors);
  fsyncSync(medium);
  const told = { unflushed: cache.size, survived: survivors.length };
  process.send?.(told, () => process.kill(process.pid, 'SIGKILL'));
}

// The NBD protocol, "fixed newstyle" handshake and simple replies:
// https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md

const optionGo = 7;
const replies = { ack: 1, info: 3, unsupported: 0x80000001 };
const commands = { read: 0, write: 1, disconnect: 2, flush: 3 };
const hasFlags = 1;
const sendsFlush = 4;
const invalid = 22;

function optionReply(option: number, type: number, data: Buffer = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(20);
  header.writeBigUInt64BE(0x3e889045565a9n, 0);
  header.writeUInt32BE(option, 8);
  header.writeUInt32BE(type, 12);
  header.writeUInt32BE(data.length, 16);
  return Buffer.concat([header, data]);
}

function exportInfo(): Buffer {
  const info = Buffer.alloc(12);
  info.writeUInt16BE(0, 0);
  info.writeBigUInt64BE(BigInt(sizeBytes), 2);
  info.writeUInt16BE(hasFlags | sendsFlush, 10);
  return info;
}

/** Yields what `need` asks for, of exactly that length. */
function* serve(socket: Socket): Generator<number, void, Buffer> {
  socket.write(Buffer.concat([Buffer.from('NBDMAGICIHAVEOPT'), Buffer.from([0, 3])]));
  yield 4;
  for (let going = false; !going; ) {
    const header = yield 16;
    const option = header.readUInt32BE(8);
    const length = header.readUInt32BE(12);
    if (length > 0) yield length;
    going = option === optionGo;
    if (going) socket.write(optionReply(option, replies.info, exportInfo()));
    socket.write(optionReply(option, going ? replies.ack : replies.unsupported));
  }
  for (;;) {
    const request = yield 28;
    if (dead) return;
    const type = request.readUInt16BE(6);
    const offset = Number(request.readBigUInt64BE(16));
    const length = request.readUInt32BE(24);
    if (type === commands.disconnect) return void socket.end();
    const reply = Buffer.alloc(16);
    reply.writeUInt32BE(0x67446698, 0);
    request.copy(reply, 8, 8, 16);
    if (type === commands.write) write(offset, yield length);
    else if (type === commands.flush) flush();
    else if (type !== commands.read) reply.writeUInt32BE(invalid, 4);
    if (dead) return;
    socket.write(type === commands.read ? Buffer.concat([reply, read(offset, length)]) : reply);
  }
}

createServer((socket) => {
  const protocol = serve(socket);
  let need = protocol.next().value ?? 0;
  let received: Buffer = Buffer.alloc(0);
  socket.on('data', (bytes: Buffer) => {
    received = received.length === 0 ? bytes : Buffer.concat([received, bytes]);
    while (received.length >= need) {
      const taken = received.subarray(0, need);
      received = received.subarray(need);
      const { value, done } = protocol.next(taken);
      if (done) return;
      need = value;
    }
  });
  socket.on('error', () => undefined); // the client is gone: so is its disk
}).listen(socketPath, () => process.send?.('listening'));
