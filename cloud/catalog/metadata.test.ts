import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { tableSchemas } from '../../lake/schema/tables.ts';
import { initialMetadata } from './initial-metadata.ts';
import { parseMetadata, printMetadata } from './metadata.ts';

const corpus = join(import.meta.dirname, '../../../shared/corpora/iceberg/dev/fixtures');
const uuid = '2f2bd1b5-3bd9-4d0c-9e2f-000000000001';

test('what is printed reads as the same, for each table', () => {
  for (const schema of Object.values(tableSchemas)) {
    const metadata = initialMetadata(schema, 'file:///lake/t', uuid, 1_700_000_000_000);
    expect(parseMetadata(printMetadata(metadata), 'v1')).toEqual(metadata);
  }
});

test('64-bit ids and fields of other engines survive', () => {
  const metadata = initialMetadata(tableSchemas.metrics, 'file:///lake/t', uuid, 1);
  const snapshotId = 3055729675574597004n;
  const full = {
    ...metadata,
    currentSnapshotId: snapshotId,
    snapshots: [
      {
        snapshotId,
        parentSnapshotId: 9007199254740993n,
        sequenceNumber: 1,
        timestampMs: 1,
        manifestList: 'file:///lake/t/metadata/snap.avro',
        summary: { operation: 'append' },
        schemaId: 0,
      },
    ],
    refs: { main: { 'snapshot-id': snapshotId, type: 'branch', 'max-ref-age-ms': 5 } },
    others: { statistics: [{ 'snapshot-id': snapshotId }], 'future-field': { a: [1] } },
  };
  const text = printMetadata(full);
  expect(text).toContain('"snapshot-id":3055729675574597004');
  expect(parseMetadata(text, 'v1')).toEqual(full);
});

test.each([
  ['not JSON', '{', 'corrupt'],
  ['null', 'null', 'corrupt'],
  ['version 1', '{"format-version":1}', 'unsupported'],
  ['version 3', '{"format-version":3}', 'unsupported'],
  ['a field missing', '{"format-version":2}', 'corrupt'],
])('%s is refused', (_name, text, code) => {
  expect(() => parseMetadata(text, 'v1')).toThrow(expect.objectContaining({ code, subject: 'v1' }));
});

test('ids that name nothing are refused', () => {
  const metadata = initialMetadata(tableSchemas.logs, 'file:///lake/t', uuid, 1);
  for (const wrong of [
    { currentSchemaId: 4 },
    { defaultSpecId: 4 },
    { defaultSortOrderId: 4 },
    { currentSnapshotId: 4n },
  ])
    expect(() => parseMetadata(printMetadata({ ...metadata, ...wrong }), 'v1')).toThrow(/names something/);
});

test.skipIf(!existsSync(corpus))(
  'metadata files of other implementations load or are refused as their names say (skipped without the corpora)',
  () => {
    const outcomes = ['iceberg', 'iceberg-rust/table_metadata', 'iceberg-python', 'iceberg-rust'].flatMap(
      (folder) =>
        readdirSync(join(corpus, folder))
          .filter((name) => /metadata.*\.json$/i.test(name) && !name.startsWith('View'))
          .map((name) => {
            const text = readFileSync(join(corpus, folder, name), 'utf8');
            try {
              const metadata = parseMetadata(text, name);
              expect(parseMetadata(printMetadata(metadata), name)).toEqual(metadata);
              return [name, 'loads'] as const;
            } catch (error) {
              return [name, (error as { code?: string }).code ?? String(error)] as const;
            }
          }),
    );
    expect(outcomes.length).toBeGreaterThan(12);
    for (const [name, outcome] of outcomes) {
      const version = (/V(\d)/i.exec(name) ?? [])[1];
      // The Python one lacks sort-orders too, which version 2 requires.
      const broken = /Missing|NoValid|Without|FIXED_AND_DECIMAL/.test(name);
      if (version === '2') expect(outcome, name).toBe(broken ? 'corrupt' : 'loads');
      else if (version !== undefined) expect(outcome, name).toBe('unsupported');
      else expect(['loads', 'unsupported'], name).toContain(outcome);
    }
  },
);
