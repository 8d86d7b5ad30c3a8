import { FirnError } from '../../lake/base/errors.ts';
import { type CommitOptions, changeMetadata } from '../catalog/commit.ts';
import type { TableMetadata } from '../catalog/metadata.ts';
import type { CatalogTable } from '../catalog/table.ts';

// A maintainer that was asleep while another took its lease must not commit: files that it uploaded may be gone as
// orphans, and rows that it merged may have been deleted meanwhile. So the table remembers the epoch of the newest
// maintainer, and the same metadata swap that would commit an older one's work is refused.

const epochProperty = 'firn.maintainer-epoch';

const epochOf = ({ properties }: TableMetadata): number => Number(properties[epochProperty] ?? 0);

/** Throws FirnError `conflict` when a maintainer of a later epoch is at work on the table. */
export function checkEpoch(table: CatalogTable, metadata: TableMetadata, epoch: number): void {
  if (epochOf(metadata) <= epoch) return;
  throw new FirnError({
    code: 'conflict',
    operation: 'maintain table',
    subject: table.prefix,
    message: `${table.prefix} is maintained by epoch ${epochOf(metadata)} now, this is ${epoch}`,
  });
}

/** From here on nothing of an earlier maintainer is committed. Throws FirnError `conflict` when this is the earlier one. */
export async function raiseFence(
  table: CatalogTable,
  epoch: number,
  options: CommitOptions = {},
): Promise<void> {
  await changeMetadata(
    table,
    (metadata) => {
      checkEpoch(table, metadata, epoch);
      if (epochOf(metadata) === epoch) return undefined;
      return { ...metadata, properties: { ...metadata.properties, [epochProperty]: String(epoch) } };
    },
    options,
  );
}
