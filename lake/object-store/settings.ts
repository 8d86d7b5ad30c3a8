import { z } from 'zod';

/** The settings of an object store, flat so that each is a flag. `none` is for a gateway that ships nowhere. */
export const storeSettings = <
  const K extends readonly ['none' | 'directory', ...('directory' | 's3' | 'cloud')[]],
>(
  kinds: K,
) =>
  z
    .strictObject({
      kind: z
        .enum(kinds)
        .default(kinds[0] as never)
        .describe('Where the lake is'),
      path: z.string().default('').describe('Folder of a directory store'),
      endpoint: z.string().default('').describe('URL of an S3 service; empty for AWS'),
      region: z.string().default('us-east-1').describe('S3 region'),
      bucket: z.string().default('').describe('S3 bucket'),
      prefix: z.string().default('').describe('Prefix of every key in the bucket'),
      pathStyle: z.boolean().default(true).describe('S3 path-style addresses (most servers but AWS)'),
      accessKeyId: z.string().default('').describe('S3 access key; empty for the AWS default chain'),
      secretAccessKey: z.string().default('').describe('S3 secret key'),
    })
    .superRefine((store, context) => {
      const kind: string = store.kind;
      const missing =
        kind === 'directory' && !store.path ? 'path' : kind === 's3' && !store.bucket ? 'bucket' : '';
      if (missing)
        context.addIssue({ code: 'custom', path: [missing], message: `a store of kind ${kind} needs it` });
    })
    .prefault({} as never);

/** What the schema yields; '' is a setting that is not set. */
export interface StoreSettings {
  /** `cloud`: where the cloud says, for a gateway that is enrolled. */
  readonly kind: 'none' | 'directory' | 's3' | 'cloud';
  readonly path: string;
  readonly endpoint: string;
  readonly region: string;
  readonly bucket: string;
  readonly prefix: string;
  readonly pathStyle: boolean;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}
