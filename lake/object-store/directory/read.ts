import type { BigIntStats } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { bodyBytesMax, checkBodySize, checkRange, invalidRange } from '../body.ts';
import { fileChunkBytes, localFileError, openLocalFile } from '../local-file.ts';
import type { ObjectInfo, StoredObject } from '../object-store.ts';
import { notFound } from './file-errors.ts';
import { etagOf } from './staging.ts';

// A file that is open stays the same version of its object: writers replace the name, never the bytes.

export async function infoAt(path: string, key: string): Promise<ObjectInfo> {
  return infoOf(key, await stat(path, { bigint: true }));
}

function infoOf(key: string, stats: BigIntStats): ObjectInfo {
  if (!stats.isFile()) throw notFound('read', key);
  return { key, etag: etagOf(stats), sizeBytes: Number(stats.size) };
}

export async function read(path: string, key: string, signal?: AbortSignal): Promise<StoredObject> {
  await using file = await open(path, 'r');
  const { etag, sizeBytes } = infoOf(key, await file.stat({ bigint: true }));
  checkBodySize('get', key, sizeBytes, bodyBytesMax);
  const body = await file.readFile(signal === undefined ? {} : { signal });
  return { key, etag, sizeBytes, body };
}

export async function readRange(path: string, key: string, startByte: number, endByte: number) {
  checkRange(key, startByte, endByte);
  await using file = await open(path, 'r');
  const { sizeBytes } = infoOf(key, await file.stat({ bigint: true }));
  if (startByte >= sizeBytes)
    throw invalidRange(key, startByte, endByte, `the object has ${sizeBytes} bytes`);
  const end = Math.min(endByte, sizeBytes);
  checkBodySize('get range', key, end - startByte, bodyBytesMax);
  return readExactly(file, startByte, end - startByte);
}

async function readExactly(file: FileHandle, startByte: number, lengthBytes: number): Promise<Uint8Array> {
  const bytes = Buffer.allocUnsafe(lengthBytes);
  for (let done = 0; done < lengthBytes; ) {
    const { bytesRead } = await file.read(bytes, done, lengthBytes - done, startByte + done);
    if (bytesRead === 0) throw new Error('an object of a directory store was cut while it was read');
    done += bytesRead;
  }
  return bytes;
}

export async function readToFile(
  path: string,
  key: string,
  target: string,
  signal?: AbortSignal,
): Promise<number> {
  await using from = await open(path, 'r');
  const { sizeBytes } = infoOf(key, await from.stat({ bigint: true }));
  await using to = await openLocalFile('get file', target, 'w');
  for (let done = 0; done < sizeBytes; ) {
    signal?.throwIfAborted();
    const chunk = await readExactly(from, done, Math.min(fileChunkBytes, sizeBytes - done));
    await to.writeFile(chunk).catch((error: unknown) => {
      throw localFileError('get file', target, error);
    });
    done += chunk.byteLength;
  }
  return sizeBytes;
}
