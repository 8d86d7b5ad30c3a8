import { FirnError } from '../../lake/base/errors.ts';
import type { DataFile } from './manifest-file.ts';
import type { CatalogTable } from './table.ts';

/** The object of a data file. Throws FirnError `corrupt` when it is not the tenant's own, or not Parquet: tampered with. */
export function dataKeyOf(
  { locations, tenant, prefix }: CatalogTable,
  { path, format }: DataFile,
  operation: string,
): string {
  const key = locations.keyOf(path);
  if (key.startsWith(`${tenant}/`) && format.toUpperCase() === 'PARQUET') return key;
  throw new FirnError({
    code: 'corrupt',
    operation,
    subject: prefix,
    message: `${prefix} lists ${path}, which is not a Parquet file of tenant ${tenant}`,
  });
}
