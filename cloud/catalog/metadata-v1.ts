// Table metadata of format version 1 as version 2 has it (specification, "Version 2: Row-level Deletes" in appendix E):
// fields that version 1 leaves out get the values that the upgrade gives them.

type Json = Readonly<Record<string, unknown>>;

/** What a version 1 file says, in the fields of version 2; what is missing there too is left to the reader to refuse. */
export function upgradedFromV1(json: Json): Json {
  const schema = json.schema as Json | undefined;
  const schemas = (json.schemas as readonly Json[] | undefined) ?? (schema ? [schema] : []);
  const specs = (json['partition-specs'] as readonly Json[] | undefined) ?? [
    { 'spec-id': 0, fields: json['partition-spec'] ?? [] },
  ];
  const numbered = specs.map((spec) => ({
    ...spec,
    fields: ((spec.fields ?? []) as readonly Json[]).map((field, index) => ({
      'field-id': firstPartitionFieldId + index,
      ...field,
    })),
  }));
  const fieldIds = numbered.flatMap(({ fields }) => fields.map((field) => Number(field['field-id'])));
  const specIds = specs.map((spec) => Number(spec['spec-id']));
  const { schema: _, 'partition-spec': __, ...others } = json;
  return {
    'current-schema-id': schema && (schema['schema-id'] ?? 0),
    'default-spec-id': Math.max(0, ...specIds),
    'last-partition-id': Math.max(firstPartitionFieldId - 1, ...fieldIds),
    'sort-orders': [{ 'order-id': 0, fields: [] }],
    'default-sort-order-id': 0,
    'last-sequence-number': 0,
    ...others,
    'format-version': 2,
    schemas: schemas.map((each) => ({ 'schema-id': 0, ...each })),
    'partition-specs': numbered,
    snapshots: ((json.snapshots ?? []) as readonly Json[]).map((snapshot) => ({
      'sequence-number': 0,
      ...snapshot,
    })),
  };
}

/** Snapshots without a manifest list, which only version 1 has. */
export const listsManifests = ({ snapshots }: Json): boolean =>
  ((snapshots ?? []) as readonly Json[]).some(
    (snapshot) => snapshot['manifest-list'] === undefined && snapshot.manifests !== undefined,
  );

const firstPartitionFieldId = 1000;
