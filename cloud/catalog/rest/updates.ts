import { snapshotToJson, type TableMetadata } from '../metadata.ts';

// A change of metadata as the REST protocol has it: what must still hold, and what is to be done (rest-catalog-open-api,
// TableRequirement and TableUpdate).

export interface TableCommit {
  readonly requirements: readonly object[];
  readonly updates: readonly object[];
}

/**
 * What leads from one metadata to the next; of a table that does not exist when `base` is undefined. Snapshots never
 * change there: what `next` says otherwise of one that stays is left out (Firn takes old marks out of them, to save space).
 */
export function tableCommit(base: TableMetadata | undefined, next: TableMetadata): TableCommit {
  return base ? changed(base, next) : created(next);
}

/** The whole table in one commit, as Java's create transaction; field ids stay what they are. */
function created(next: TableMetadata): TableCommit {
  const schema = next.schemas.find((each) => each['schema-id'] === next.currentSchemaId);
  const spec = next.partitionSpecs.find((each) => each['spec-id'] === next.defaultSpecId);
  const order = next.sortOrders.find((each) => each['order-id'] === next.defaultSortOrderId);
  return {
    requirements: [{ type: 'assert-create' }],
    updates: [
      { action: 'assign-uuid', uuid: next.tableUuid },
      { action: 'upgrade-format-version', 'format-version': next.formatVersion },
      { action: 'set-location', location: next.location },
      { action: 'add-schema', schema, 'last-column-id': next.lastColumnId },
      { action: 'set-current-schema', 'schema-id': -1 },
      { action: 'add-spec', spec },
      { action: 'set-default-spec', 'spec-id': -1 },
      { action: 'add-sort-order', 'sort-order': order },
      { action: 'set-default-sort-order', 'sort-order-id': -1 },
      { action: 'set-properties', updates: next.properties },
      ...snapshotUpdates(undefined, next),
    ],
  };
}

function changed(base: TableMetadata, next: TableMetadata): TableCommit {
  const known = new Set(base.schemas.map((schema) => schema['schema-id']));
  const schemas = next.schemas.filter((schema) => !known.has(schema['schema-id']));
  const refs = changedRefs(base, next);
  return {
    requirements: [
      { type: 'assert-table-uuid', uuid: base.tableUuid },
      ...[...new Set(['main', ...refs])].map((ref) => ({
        type: 'assert-ref-snapshot-id',
        ref,
        'snapshot-id': base.refs[ref]?.['snapshot-id'] ?? null,
      })),
      ...(schemas.length === 0
        ? []
        : [
            { type: 'assert-last-assigned-field-id', 'last-assigned-field-id': base.lastColumnId },
            { type: 'assert-current-schema-id', 'current-schema-id': base.currentSchemaId },
          ]),
    ],
    updates: [
      ...schemas.map((schema) => ({
        action: 'add-schema',
        schema,
        'last-column-id': next.lastColumnId,
      })),
      ...(next.currentSchemaId === base.currentSchemaId
        ? []
        : [{ action: 'set-current-schema', 'schema-id': next.currentSchemaId }]),
      ...propertyUpdates(base.properties, next.properties),
      ...snapshotUpdates(base, next),
    ],
  };
}

function changedRefs(base: TableMetadata | undefined, next: TableMetadata): string[] {
  const names = new Set([...Object.keys(base?.refs ?? {}), ...Object.keys(next.refs)]);
  return [...names].filter((name) => {
    const [before, after] = [base?.refs[name], next.refs[name]];
    return (
      before?.['snapshot-id'] !== after?.['snapshot-id'] ||
      before?.type !== after?.type ||
      before?.['max-ref-age-ms'] !== after?.['max-ref-age-ms']
    );
  });
}

function snapshotUpdates(base: TableMetadata | undefined, next: TableMetadata): object[] {
  const before = new Set(base?.snapshots.map(({ snapshotId }) => snapshotId));
  const after = new Set(next.snapshots.map(({ snapshotId }) => snapshotId));
  const added = next.snapshots.filter(({ snapshotId }) => !before.has(snapshotId));
  const removed = [...before].filter((id) => !after.has(id));
  return [
    ...added.map((snapshot) => ({ action: 'add-snapshot', snapshot: snapshotToJson(snapshot) })),
    ...changedRefs(base, next).map((name) =>
      next.refs[name]
        ? { action: 'set-snapshot-ref', 'ref-name': name, ...next.refs[name] }
        : { action: 'remove-snapshot-ref', 'ref-name': name },
    ),
    ...(removed.length > 0 ? [{ action: 'remove-snapshots', 'snapshot-ids': removed }] : []),
  ];
}

function propertyUpdates(base: TableMetadata['properties'], next: TableMetadata['properties']): object[] {
  const set = Object.entries(next).filter(([name, value]) => base[name] !== value);
  const removals = Object.keys(base).filter((name) => next[name] === undefined);
  return [
    ...(set.length > 0 ? [{ action: 'set-properties', updates: Object.fromEntries(set) }] : []),
    ...(removals.length > 0 ? [{ action: 'remove-properties', removals }] : []),
  ];
}
