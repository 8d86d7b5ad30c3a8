import { FirnError } from '../../lake/base/errors.ts';
import type { AsOf } from '../../lake/tables.ts';
import { type CommitOptions, changeMetadata } from './commit.ts';
import type { Snapshot } from './metadata.ts';
import { snapshotAt } from './snapshot-at.ts';
import type { IcebergTable } from './table.ts';

// Tags (specification, "Snapshot References"): names of snapshots, which expiry keeps.

/** Tags of one table. */
export const tagsMax = 100;
const namePattern = /^[A-Za-z0-9][\w.-]{0,127}$/;

export interface Tag {
  readonly name: string;
  readonly snapshot: Snapshot;
  /** Milliseconds after the snapshot's own time when expiry may drop the tag; undefined: never. */
  readonly maxAgeMs: number | undefined;
}

export async function tagsOf(table: IcebergTable): Promise<readonly Tag[]> {
  const { metadata } = await table.load();
  return Object.entries(metadata?.refs ?? {})
    .flatMap(([name, ref]): Tag[] => {
      const snapshot = metadata?.snapshots.find(({ snapshotId }) => snapshotId === ref['snapshot-id']);
      const maxAgeMs = ref['max-ref-age-ms'];
      if (ref.type !== 'tag' || !snapshot) return [];
      return [{ name, snapshot, maxAgeMs: typeof maxAgeMs === 'number' ? maxAgeMs : undefined }];
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/**
 * Names a state of a table, the newest by default; the same again is no error. Throws FirnError `invalid` for a bad
 * name, `not-found` for a state that there is not, `conflict` when another snapshot has the name, `limit` beyond tagsMax.
 */
export async function addTag(
  table: IcebergTable,
  name: string,
  { asOf, maxAgeMs }: { readonly asOf?: AsOf | undefined; readonly maxAgeMs?: number | undefined },
  options: CommitOptions = {},
): Promise<Tag> {
  if (!namePattern.test(name))
    throw refused('invalid', name, 'a tag is named by letters, digits, _ . and -, at most 128');
  const tag: { snapshot?: Snapshot } = {};
  await changeMetadata(
    table,
    (metadata) => {
      const snapshot = snapshotAt(metadata, asOf);
      if (!snapshot) throw refused('not-found', name, `${table.prefix} has no snapshot yet`);
      tag.snapshot = snapshot;
      const known = metadata.refs[name];
      if (known && (known.type !== 'tag' || known['snapshot-id'] !== snapshot.snapshotId))
        throw refused('conflict', name, `${name} is a ${known.type} of another snapshot already`);
      if (known && known['max-ref-age-ms'] === maxAgeMs) return undefined;
      if (!known && Object.values(metadata.refs).filter(({ type }) => type === 'tag').length >= tagsMax)
        throw refused('limit', 'tagsMax', `${table.prefix} has ${tagsMax} tags already (tagsMax)`);
      const ref = { 'snapshot-id': snapshot.snapshotId, type: 'tag' };
      const withAge = maxAgeMs === undefined ? ref : { ...ref, 'max-ref-age-ms': maxAgeMs };
      return { ...metadata, refs: { ...metadata.refs, [name]: withAge } };
    },
    options,
  );
  if (!tag.snapshot) throw refused('not-found', name, `there is no table ${table.prefix}`);
  return { name, snapshot: tag.snapshot, maxAgeMs };
}

/** Removes a tag; false when there was none. */
export async function removeTag(
  table: IcebergTable,
  name: string,
  options: CommitOptions = {},
): Promise<boolean> {
  let removed = false;
  await changeMetadata(
    table,
    (metadata) => {
      const { [name]: tag, ...refs } = metadata.refs;
      if (tag?.type !== 'tag') return undefined;
      removed = true;
      return { ...metadata, refs };
    },
    options,
  );
  return removed;
}

const refused = (code: 'invalid' | 'not-found' | 'conflict' | 'limit', subject: string, message: string) =>
  new FirnError({ code, operation: 'tag snapshot', subject, message });
