import { type Clock, systemClock } from '../../base/clock.ts';
import { checkFolderPrefix, checkKey, checkPrefix } from '../key.ts';
import type { ObjectStore } from '../object-store.ts';
import { type Bucket, call, head, listFolders, listObjects, remove } from './bucket.ts';
import { connect, defaultS3Limits, type S3Connection, type S3Limits } from './connection.ts';
import { createDownloads } from './download.ts';
import { prefixOf } from './prefix.ts';
import { watchTries } from './tries.ts';
import { createUploads } from './upload.ts';

/** An object store in a bucket of an S3 service. Nothing is sent before the first call. */
export function s3Store(
  options: S3Connection & { readonly limits?: Partial<S3Limits>; readonly clock?: Clock },
): ObjectStore {
  const limits = { ...defaultS3Limits, ...options.limits };
  const { clock = systemClock } = options;
  const connections = connect(options, limits);
  const { client } = connections;
  const serverTime = watchTries(connections, clock);
  const bucket: Bucket = {
    client,
    limits,
    clock,
    place: options.endpoint ?? '',
    name: options.bucket,
    prefix: prefixOf(options),
  };
  const uploads = createUploads(bucket);
  const downloads = createDownloads(bucket);
  const run: typeof call = (operation, key, signal, work) => {
    checkKey(operation, key);
    // The bucket's limit holds for the whole name.
    checkKey(operation, bucket.prefix + key);
    return call(operation, key, signal, work);
  };

  return {
    description: `bucket s3://${bucket.name}/${bucket.prefix}${options.endpoint ? ` at ${options.endpoint}` : ''}`,
    put: (key, body, write = {}) => run('put', key, write.signal, () => uploads.put(key, body, write)),
    putIfAbsent: (key, body, write = {}) =>
      run('put if absent', key, write.signal, () => uploads.putIfAbsent(key, body, write)),
    putIfMatch: (key, body, etag, write = {}) =>
      run('put if match', key, write.signal, () => uploads.putIfMatch(key, body, etag, write)),
    putFile: (key, path, write = {}) =>
      run('put file', key, write.signal, () => uploads.putFile(key, path, write)),
    get: (key, { signal } = {}) => run('get', key, signal, () => downloads.get(key, signal)),
    getRange: (key, startByte, endByte, { signal } = {}) =>
      run('get range', key, signal, () => downloads.getRange(key, startByte, endByte, signal)),
    getFile: (key, path, { signal } = {}) =>
      run('get file', key, signal, () => downloads.getFile(key, path, signal)),
    head: (key, { signal } = {}) =>
      run('head', key, signal, async () => {
        const { etag, sizeBytes } = await head(bucket, key, signal);
        return { key, etag, sizeBytes };
      }),
    list: (prefix, { after, limit = Number.POSITIVE_INFINITY, signal } = {}) =>
      listObjects(bucket, checkPrefix('list', prefix), after, limit, signal),
    listFolders: (prefix, { signal } = {}) =>
      listFolders(bucket, checkFolderPrefix('list folders', prefix), signal),
    delete: (key, { signal } = {}) => run('delete', key, signal, () => remove(bucket, key, signal)),
    localPath: () => undefined,
    serverTime,
    close: () => client.destroy(),
  };
}
