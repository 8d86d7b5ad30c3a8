import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { FirnError } from '../base/errors.ts';
import { directoryStore } from './directory/directory-store.ts';
import type { ObjectStore } from './object-store.ts';
import type { S3Limits } from './s3/connection.ts';
import { prefixOf } from './s3/prefix.ts';
import type { StoreSettings } from './settings.ts';

export interface OpenStore {
  readonly store: ObjectStore;
  /** The URI by which Iceberg metadata names an object: `file:///folder/key` or `s3://bucket/prefix/key`. */
  readonly locationOf: (key: string) => string;
}

/**
 * Opens the configured store. Does not reach out to it. Throws `invalid` when there is none. A caller with waits of its
 * own between tries limits an S3 store to one try of a request. `proxy`: an HTTP proxy on the way to an S3 store.
 */
export async function openObjectStore(
  settings: StoreSettings,
  limits: Partial<S3Limits> = {},
  proxy = '',
): Promise<OpenStore> {
  if (settings.kind === 'directory') {
    const root = resolve(settings.path);
    const folder = pathToFileURL(root).href;
    return { store: directoryStore({ root }), locationOf: (key) => `${folder}/${key}` };
  }
  if (settings.kind === 's3') {
    // The SDK takes a while to load, and only this kind needs it.
    const { s3Store } = await import('./s3/s3-store.ts');
    const place = `s3://${settings.bucket}/${prefixOf(settings)}`;
    return { store: s3Store({ ...settings, limits, proxy }), locationOf: (key) => `${place}${key}` };
  }
  throw new FirnError({
    code: 'invalid',
    operation: 'open object store',
    subject: 'store.kind',
    message: `store.kind: there is no store of kind ${settings.kind}`,
    hint: 'use directory or s3',
  });
}
