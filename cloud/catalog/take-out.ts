import { FirnError } from '../../lake/base/errors.ts';
import { mapConcurrent } from './concurrent.ts';
import type { DataFile, ManifestEntry } from './manifest-file.ts';
import type { ManifestFile } from './manifest-list.ts';
import type { CatalogTable } from './table.ts';

const readConcurrencyMax = 8;

/**
 * Takes files out of a snapshot: the manifests that list them go, and their entries are given back to be written again,
 * those of the files as deleted by `snapshotId` (specification, "Manifest Entry Fields": they keep their sequence
 * numbers). Throws FirnError `conflict` unless each file is live exactly once, `unsupported` where there are delete
 * files: rows that they hide would come back under the new file's higher sequence number.
 */
export async function takeOut(
  table: CatalogTable,
  manifests: readonly ManifestFile[],
  files: readonly DataFile[],
  snapshotId: bigint,
): Promise<{ readonly untouched: readonly ManifestFile[]; readonly taken: readonly ManifestEntry[] }> {
  if (files.length === 0) return { untouched: manifests, taken: [] };
  if (manifests.some(({ content }) => content === 'deletes'))
    throw refused(table, 'unsupported', 'has delete files, which Firn does not apply yet');
  const paths = new Set(files.map(({ path }) => path));
  const read = await mapConcurrent(
    manifests.filter((manifest) => mayList(manifest, files)),
    readConcurrencyMax,
    async (manifest) => ({ manifest, entries: await table.entriesOf(manifest) }),
  );
  const listing = read.filter(({ entries }) => entries.some(({ file }) => paths.has(file.path)));
  const taken = listing.flatMap(({ entries }) =>
    entries.map(
      (entry): ManifestEntry =>
        paths.has(entry.file.path)
          ? { ...entry, status: 'deleted', snapshotId }
          : { ...entry, status: 'existing' },
    ),
  );
  const deleted = taken.filter(({ status }) => status === 'deleted').length;
  if (deleted !== files.length)
    throw refused(table, 'conflict', `has ${deleted} of the ${files.length} files that were to be replaced`);
  const gone = new Set(listing.map(({ manifest }) => manifest));
  return { untouched: manifests.filter((manifest) => !gone.has(manifest)), taken };
}

/** Only manifests of spec 0 are written again, so only their files can be replaced. */
function mayList({ specId, days }: ManifestFile, files: readonly DataFile[]): boolean {
  if (specId !== 0) return false;
  return files.some(({ day }) => !days || day === undefined || (day >= days.first && day <= days.last));
}

function refused({ prefix }: CatalogTable, code: 'conflict' | 'unsupported', why: string): FirnError {
  return new FirnError({
    code,
    operation: 'replace files',
    subject: prefix,
    message: `${prefix} ${why}`,
  });
}
