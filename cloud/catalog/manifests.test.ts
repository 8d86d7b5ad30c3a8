import { existsSync, globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { tableSchemas } from '../../lake/schema/tables.ts';
import { avroWriter, readAvro } from './avro.ts';
import { decodeLong } from './bounds.ts';
import { initialMetadata } from './initial-metadata.ts';
import { type ManifestEntry, parseManifestFile, printManifestFile } from './manifest-file.ts';
import { describeManifest, parseManifestList, printManifestList } from './manifest-list.ts';

const corpus = join(import.meta.dirname, '../../../shared/corpora/iceberg/dev');
const { schemas, partitionSpecs } = initialMetadata(tableSchemas.metrics, {
  location: 'file:///t',
  tableUuid: 'uuid',
  nowMs: 0,
});
const [schema] = schemas;
const [spec] = partitionSpecs;
if (!schema || !spec) throw new Error('a new table has a schema and a spec');

const id = fc.bigInt({ min: 1n, max: 2n ** 63n - 1n });
const count = fc.integer({ min: 0, max: 2 ** 40 });
const counts = fc.array(fc.tuple(fc.integer({ min: 1, max: 20 }), count)).map((pairs) => new Map(pairs));
const bounds = fc
  .array(
    fc.tuple(
      fc.integer({ min: 1, max: 20 }),
      fc.uint8Array({ maxLength: 16 }).map((bytes) => Buffer.from(bytes)),
    ),
  )
  .map((pairs) => new Map(pairs));
const entry: fc.Arbitrary<ManifestEntry> = fc.record({
  status: fc.constantFrom('added', 'existing'),
  snapshotId: id,
  sequenceNumber: fc.integer({ min: 1, max: 1e9 }),
  fileSequenceNumber: fc.integer({ min: 1, max: 1e9 }),
  file: fc.record({
    path: fc.string(),
    format: fc.constant('PARQUET'),
    day: fc.option(fc.integer({ min: -1e6, max: 1e6 }), { nil: undefined }),
    rows: count,
    bytes: count,
    valueCounts: counts,
    nullCounts: counts,
    lowerBounds: bounds,
    upperBounds: bounds,
    sortOrderId: fc.option(fc.integer({ min: 0, max: 9 }), { nil: undefined }),
  }),
});

test('a manifest read is the manifest written; added files inherit their numbers', () => {
  fc.assert(
    fc.property(
      fc.array(entry, { maxLength: 20 }),
      fc.integer({ min: 1, max: 1e9 }),
      (entries, sequenceNumber) => {
        const read = parseManifestFile(printManifestFile(entries, schema, spec), 'm', {
          snapshotId: 1n,
          sequenceNumber,
        });
        expect(read).toEqual(
          entries.map((each) =>
            each.status === 'added' ? { ...each, sequenceNumber, fileSequenceNumber: sequenceNumber } : each,
          ),
        );
      },
    ),
    { numRuns: 50 },
  );
});

test('a manifest list read is the list written', () => {
  const snapshot = { snapshotId: 5n, parentSnapshotId: undefined, sequenceNumber: 7 };
  fc.assert(
    fc.property(fc.array(fc.array(entry, { minLength: 1, maxLength: 5 })), (groups) => {
      const manifests = groups.map((entries, index) =>
        describeManifest({ path: `m${index}`, bytes: index }, entries, snapshot),
      );
      expect(parseManifestList(printManifestList(manifests, snapshot), 'list')).toEqual(manifests);
    }),
    { numRuns: 50 },
  );
});

test('the header holds what the specification requires of version 2', () => {
  const { metadata } = readAvro(printManifestFile([], schema, spec), 'm');
  expect(metadata).toMatchObject({
    'format-version': '2',
    content: 'data',
    'schema-id': '0',
    'partition-spec-id': '0',
  });
  expect(JSON.parse(metadata['partition-spec'] ?? '')).toEqual(spec.fields);
  expect(JSON.parse(metadata.schema ?? '')).toEqual(schema);
});

test('delete files are refused rather than ignored', () => {
  const { metadata, values } = readAvro(
    printManifestFile([fc.sample(entry, { numRuns: 1, seed: 1 })[0] as ManifestEntry], schema, spec),
    'm',
  );
  const [first] = values as [{ data_file: { content: number } }];
  first.data_file.content = 1;
  const file = avroWriter(JSON.parse(metadata['avro.schema'] ?? ''))([first], {});
  expect(() => parseManifestFile(file, 'm', { snapshotId: 1n, sequenceNumber: 1 })).toThrow(
    expect.objectContaining({ code: 'unsupported' }),
  );
});

/** name -> type of every field with a field id, wherever it is nested. */
function fieldIds(schemaJson: unknown, found = new Map<number, string>()): Map<number, string> {
  if (Array.isArray(schemaJson)) for (const each of schemaJson) fieldIds(each, found);
  else if (typeof schemaJson === 'object' && schemaJson !== null) {
    const { name, 'field-id': fieldId } = schemaJson as { name?: string; 'field-id'?: number };
    if (fieldId !== undefined && name !== undefined) found.set(fieldId, name);
    for (const each of Object.values(schemaJson)) fieldIds(each, found);
  }
  return found;
}

test.skipIf(!existsSync(corpus))(
  'manifests and lists of other writers decode, and name their fields as ours do (skipped without the corpora)',
  () => {
    const files = globSync('{duckdb-iceberg,fixtures}/**/*.avro', { cwd: corpus })
      .filter((path) => !path.includes('encrypted'))
      .map((path) => join(corpus, path));
    const seen = { lists: 0, manifests: 0, refused: 0 };
    const theirs = new Map<number, string>();
    for (const path of files) {
      const bytes = readFileSync(path);
      fieldIds(JSON.parse(readAvro(bytes, path).metadata['avro.schema'] ?? 'null'), theirs);
      if (/^snap-|manifest-list/.test(basename(path))) {
        seen.lists++;
        for (const manifest of parseManifestList(bytes, path)) {
          expect(manifest.path, path).toMatch(/\.avro$/);
          expect(manifest.bytes).toBeGreaterThan(0);
        }
        continue;
      }
      try {
        for (const { file } of parseManifestFile(bytes, path, { snapshotId: 1n, sequenceNumber: 1 })) {
          expect(file.rows, path).toBeGreaterThan(0);
          expect(file.path, path).toMatch(/parquet$/);
        }
        seen.manifests++;
      } catch (error) {
        expect(error, path).toMatchObject({ code: 'unsupported' });
        seen.refused++;
      }
    }
    expect(seen.lists).toBeGreaterThan(20);
    expect(seen.manifests).toBeGreaterThan(15);
    const ours = fieldIds([
      JSON.parse(readAvro(printManifestFile([], schema, spec), 'm').metadata['avro.schema'] ?? ''),
      JSON.parse(
        readAvro(
          printManifestList([], { snapshotId: 1n, parentSnapshotId: undefined, sequenceNumber: 1 }),
          'l',
        ).metadata['avro.schema'] ?? '',
      ),
    ]);
    for (const [fieldId, name] of ours)
      if (fieldId !== 1000) expect([fieldId, theirs.get(fieldId)]).toEqual([fieldId, name]);
  },
);

test.skipIf(!existsSync(corpus))('single values decode as another implementation encodes them', () => {
  const vectors = JSON.parse(
    readFileSync(join(corpus, 'single_value_serialization.json'), 'utf8'),
  ) as readonly {
    primitive_type?: { py: string };
    b?: { hex: string };
    result?: unknown;
  }[];
  const longs = vectors.filter(
    ({ primitive_type: type, result }) =>
      /^(Long|Timestamp)Type/.test(type?.py ?? '') && typeof result === 'number',
  );
  expect(longs.length).toBeGreaterThan(2);
  for (const { b, result } of longs)
    expect(Number(decodeLong(Buffer.from(b?.hex ?? '', 'hex')))).toBe(result);
});
