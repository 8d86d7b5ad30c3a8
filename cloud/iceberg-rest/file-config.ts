import type { StoreSettings } from '../../lake/object-store/settings.ts';

/** How a client reaches the files of a store, without secrets. Of a folder the locations say it all. */
export const fileConfigOf = (store: StoreSettings): Record<string, string> =>
  store.kind === 's3' ? s3FileConfig(store) : {};

export function s3FileConfig({ endpoint, region, pathStyle }: StoreSettings): Record<string, string> {
  return {
    's3.region': region,
    'client.region': region,
    's3.path-style-access': String(pathStyle),
    ...(endpoint && { 's3.endpoint': endpoint }),
  };
}
