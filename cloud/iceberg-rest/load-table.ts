import { printMetadata, type TableMetadata } from '../catalog/metadata.ts';
import type { ExistingTable } from '../catalog/table-head.ts';
import type { StorageCredential } from './credentials.ts';

/** The body of a LoadTableResult. Metadata is printed, not put into an object: its ids are 64-bit. */
export function loadTableResult(
  { metadata, location }: ExistingTable,
  snapshots: 'all' | 'refs',
  fileConfig: Readonly<Record<string, string>>,
  vended: StorageCredential | undefined,
): string {
  const shown = snapshots === 'refs' ? withReferredSnapshots(metadata) : metadata;
  // Clients that are older than `storage-credentials` look for them in `config`.
  const config = { ...fileConfig, ...vended?.config };
  const fields = [
    `"metadata-location":${JSON.stringify(location ?? null)}`,
    `"metadata":${printMetadata(shown)}`,
    `"config":${JSON.stringify(config)}`,
    ...(vended ? [`"storage-credentials":${JSON.stringify([vended])}`] : []),
  ];
  return `{${fields.join(',')}}`;
}

/** `snapshots=refs`: those that a branch or tag names; clients ask for the others when they need them. */
function withReferredSnapshots(metadata: TableMetadata): TableMetadata {
  const referred = new Set([
    metadata.currentSnapshotId,
    ...Object.values(metadata.refs).map((ref) => ref['snapshot-id']),
  ]);
  return { ...metadata, snapshots: metadata.snapshots.filter(({ snapshotId }) => referred.has(snapshotId)) };
}
