import { FirnError } from '../../lake/base/errors.ts';

/** Iceberg names files by full URI; the object store by key. This maps one to the other. */
export interface Locations {
  of(key: string): string;
  /** The key of a location; throws FirnError `invalid` when it is not below the store. */
  keyOf(location: string): string;
}

/**
 * `locationOf` gives the URI of a key: `file:///data/lake/<key>` for a directory, `s3://bucket/prefix/<key>` for S3; it
 * must only prepend. Reading also accepts the other spellings engines write: `file:/data`, a plain path, `s3a://`.
 */
export function locationsOf(locationOf: (key: string) => string): Locations {
  const base = normal(locationOf(''));
  return {
    of: locationOf,
    keyOf: (location) => {
      const plain = normal(location);
      const key = plain.slice(base.length);
      if (plain.startsWith(base) && key !== '' && !key.split('/').includes('..')) return key;
      throw new FirnError({
        code: 'invalid',
        operation: 'resolve table location',
        subject: location,
        message: `table metadata names ${location}, which is not below ${locationOf('')}`,
        hint: 'the tables were written for another bucket or folder; open them under the location they were made for',
      });
    },
  };
}

const normal = (location: string): string =>
  location.replace(/^file:\/{0,3}(?=[^/])/, '/').replace(/^s3[an]:\/\//, 's3://');
