import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { FirnError } from '../base/errors.ts';
import { directoryStore } from './directory/directory-store.ts';
import type { ObjectStore } from './object-store.ts';

/** The `store` settings (settings.ts); '' is a setting that is not set. */
export interface StoreSettings {
  readonly kind: 'none' | 'directory' | 's3';
  readonly path: string;
  readonly endpoint: string;
  readonly region: string;
  readonly bucket: string;
  readonly prefix: string;
  readonly pathStyle: boolean;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

export interface OpenStore {
  readonly store: ObjectStore;
  /** The URI by which Iceberg metadata names an object: `file:///folder/key` or `s3://bucket/prefix/key`. */
  readonly locationOf: (key: string) => string;
}

/** Opens the configured store. Does not reach out to it. Throws `invalid` when there is none. */
export async function openObjectStore(settings: StoreSettings): Promise<OpenStore> {
  if (settings.kind === 'directory') {
    const root = resolve(settings.path);
    const folder = pathToFileURL(root).href;
    return { store: directoryStore({ root }), locationOf: (key) => `${folder}/${key}` };
  }
  throw new FirnError({
    code: 'invalid',
    operation: 'open object store',
    subject: 'store.kind',
    message: `store.kind: there is no store of kind ${settings.kind}`,
    hint: 'use directory or s3',
  });
}
