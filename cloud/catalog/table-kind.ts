import type { TableMetadata } from './metadata.ts';

// What a table in a tenant's namespace is for, where that is not one of a signal. A table that is dropped stays as an empty
// one that nobody is shown: its versions go on when it is made again, so that no reader takes an old state for the newest.

const kindProperty = 'firn.kind';

export type TableKind = 'user-table' | 'dropped';

export const isOfKind = ({ properties }: TableMetadata, kind: TableKind): boolean =>
  properties[kindProperty] === kind;

export const ofKind = (metadata: TableMetadata, kind: TableKind): TableMetadata => ({
  ...metadata,
  properties: { ...metadata.properties, [kindProperty]: kind },
});
