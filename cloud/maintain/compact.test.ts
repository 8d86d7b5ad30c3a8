import { expect, test } from 'vitest';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import type { SegmentFile } from '../../lake/parquet/segment-writer.ts';
import { tableSchemas } from '../../lake/schema/tables.ts';
import { locationOf, someFile, stillClock, tenant } from '../../test/contract/lake-fixtures.ts';
import { type MemoryStore, memoryStore } from '../../test/contract/memory-store.ts';
import { commit } from '../catalog/commit.ts';
import type { DataFile } from '../catalog/manifest-file.ts';
import { openTable } from '../catalog/table.ts';
import { type CompactLimits, compactOnce } from './compact.ts';
import { maintainDefaults } from './maintain.ts';
import { replaceFiles } from './replace-files.ts';
import { type RewriteOptions, UnmergeableError } from './rewrite.ts';

type CompactOptions = RewriteOptions & { readonly limits: CompactLimits };

const clock = stillClock();
const merged: SegmentFile = {
  ...{ day: '2023-11-14', path: 'merged', rows: 20, bytes: 5, sha256: '', bounds: {} },
  ...{ minTimestampUs: 0, maxTimestampUs: 0 },
};

/** A table of two small files, which a made-up merge would merge. */
async function lake(
  more: Partial<CompactOptions> = {},
  change: (file: DataFile) => DataFile = (file) => file,
): Promise<{ memory: MemoryStore; options: CompactOptions }> {
  const memory = memoryStore();
  const store: ObjectStore = {
    ...memory,
    localPath: (key) => key,
    putFile: (key) => memory.put(key, Buffer.from('merged')),
  };
  const table = openTable({ store, tenant, signal: 'metrics', locationOf, clock });
  const added = ['a', 'b'].map((name) => change(someFile(name, tableSchemas.metrics)));
  await commit(table, () => ({ added, summary: {} }));
  const options: CompactOptions = {
    table,
    limits: { ...maintainDefaults, filesMin: 2, fileAgeMsMin: 0 },
    openFolder: async (path) => ({ path, [Symbol.asyncDispose]: async () => undefined }),
    epoch: 1,
    merge: async () => ({ file: merged, repeated: 0, leftOut: 0 }),
    replaceFiles,
    ...more,
  };
  return { memory, options };
}

const uploads = (memory: MemoryStore): string[] =>
  [...memory.objects.keys()].filter((key) => key.includes('/lake/metrics/data/'));

test('a merge is under its day, and is not merged again', async () => {
  const { memory, options } = await lake();
  expect(await compactOnce(options, () => false)).toMatchObject({
    ...{ outcome: 'done', bytesBefore: 200, bytesAfter: 5 },
    group: { group: 'day 19675 tier 3', rows: 20 },
  });
  expect(uploads(memory)).toEqual([
    expect.stringMatching(/^acme\/lake\/metrics\/data\/2023-11-14\/e00000001-[0-9a-f-]{36}\.parquet$/),
  ]);
  expect(await compactOnce(options, () => false)).toBeUndefined();
});

test.each<[string, Partial<CompactOptions>, (file: DataFile) => DataFile, RegExp]>([
  [
    'has lost rows',
    { merge: async () => ({ file: { ...merged, rows: 19 }, repeated: 0, leftOut: 0 }) },
    (file) => file,
    /19 rows of 2023-11-14, its parts have 20/,
  ],
  [
    'is of another day',
    { merge: async () => ({ file: { ...merged, day: '2023-11-15' }, repeated: 0, leftOut: 0 }) },
    (file) => file,
    /20 rows of 2023-11-15/,
  ],
  [
    'would hold another tenant’s rows',
    {},
    (file) => ({ ...file, path: locationOf('other/data/x.parquet') + file.path.at(-9) }),
    /not a Parquet file of tenant acme/,
  ],
  ['would read another format', {}, (file) => ({ ...file, format: 'ORC' }), /not a Parquet file/],
])('a merge that %s is not committed', async (_name, more, change, why) => {
  const { memory, options } = await lake(more, change);
  const failure: unknown = await compactOnce(options, () => false).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(UnmergeableError);
  expect(failure).toMatchObject({ cause: { message: expect.stringMatching(why) } });
  expect(uploads(memory)).toEqual([]);
  expect((await options.table.load()).version).toBe(1);
});

test('who was second throws the work away', async () => {
  const { memory, options } = await lake();
  const other = await compactOnce(
    {
      ...options,
      merge: async () => {
        await compactOnce(options, () => false);
        return { file: merged, repeated: 0, leftOut: 0 };
      },
    },
    () => false,
  );
  expect(other?.outcome).toBe('superseded');
  expect(uploads(memory)).toHaveLength(1);
  expect((await options.table.load()).version).toBe(2);
});

test('a column that is not Firn’s is a reason to leave the table alone', async () => {
  const { options } = await lake();
  await commit(options.table, () => ({
    added: [],
    summary: {},
    finish: (next) => ({
      ...next,
      schemas: next.schemas.map((schema) => ({
        ...schema,
        fields: [...schema.fields, { id: 99, name: 'theirs', required: false, type: 'string' }],
      })),
    }),
  }));
  await expect(compactOnce(options, () => false)).rejects.toMatchObject({
    code: 'unsupported',
    message: expect.stringContaining('theirs'),
  });
});
