import { describe, expect, test } from 'vitest';
import { changeMetadata, commit } from '../../cloud/catalog/commit.ts';
import { locationsOf } from '../../cloud/catalog/location.ts';
import {
  evolvingTo,
  type HeadOf,
  type IcebergTable,
  openTable,
  type TableLimits,
} from '../../cloud/catalog/table.ts';
import { addTag, removeTag, tagsOf } from '../../cloud/catalog/tags.ts';
import { replaceFiles } from '../../cloud/maintain/replace-files.ts';
import { systemClock } from '../../lake/base/clock.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { tableSchemas } from '../../lake/schema/tables.ts';
import { locationOf, someFile, tenant } from './lake-fixtures.ts';

// One suite for whoever decides which metadata is the newest: the object store alone, and an external REST catalog.

const schema = tableSchemas.metrics;
const clock = systemClock;

export function describeTableHead(
  name: string,
  make: () => { store: ObjectStore; headOf: HeadOf | undefined },
): void {
  describe(name, () => {
    const fresh = () => {
      const { store, headOf } = make();
      const open = (limits: Partial<TableLimits> = {}): IcebergTable =>
        openTable({ store, tenant, signal: 'metrics', locationOf, clock, limits, headOf });
      return { store, open };
    };
    const append = (table: IcebergTable, ...names: string[]) =>
      commit(table, () => ({ added: names.map((each) => someFile(each, schema)), summary: {} }));
    const contents = async (table: IcebergTable): Promise<string[]> => {
      const state = await table.load();
      const entries = await Promise.all(
        (await table.manifestsOf(state)).map((each) => table.entriesOf(each)),
      );
      return entries
        .flat()
        .map(({ file }) => file.path.replace(/^.*\/|\.parquet$/g, ''))
        .sort();
    };

    test('a table is absent until its first commit, which makes all of it', async () => {
      const { open, store } = fresh();
      expect(await open().load()).toMatchObject({ version: 0, metadata: undefined });
      const { metadata, version, location } = await append(open(), 'a');
      expect(version).toBe(1);
      expect(metadata).toMatchObject({ location: locationOf('acme/lake/metrics'), currentSchemaId: 0 });
      expect(metadata?.schemas[0]?.fields.map(({ id }) => id)).toEqual(
        schema.columns.map(({ fieldId }) => fieldId),
      );
      expect((await store.head(locationsOf(locationOf).keyOf(location ?? ''))).sizeBytes).toBeGreaterThan(0);
      expect(await contents(open())).toEqual(['a']);
    });

    test('of racing committers each gets in once', async () => {
      const { open } = fresh();
      const names = Array.from({ length: 32 }, (_, index) => `f${index}`.padEnd(4, '_'));
      await Promise.all(
        Array.from({ length: 8 }, async (_, writer) => {
          const table = open({ commitAttemptsMax: 1_000 });
          for (const each of names.filter((_name, index) => index % 8 === writer)) await append(table, each);
        }),
      );
      expect(await contents(open())).toEqual([...names].sort());
      expect((await open().load()).metadata?.lastSequenceNumber).toBe(32);
    });

    test('a change that was made on an old state is a conflict, and changes nothing', async () => {
      const { open } = fresh();
      const table = open();
      const old = await append(table, 'a');
      await append(open(), 'b');
      if (!old.metadata) throw new Error('no table');
      const next = { ...old.metadata, properties: { ...old.metadata.properties, x: '1' } };
      await expect(table.head.swap(old, next)).rejects.toMatchObject({ code: 'conflict' });
      expect((await open().load()).metadata?.properties.x).toBeUndefined();
      // Whoever makes a table that another one has made meanwhile.
      await expect(table.head.swap({ version: 0, metadata: undefined }, next)).rejects.toMatchObject({
        code: 'conflict',
      });
    });

    test('files are replaced by others, and both are in their snapshots', async () => {
      const { open } = fresh();
      await append(open(), 'a', 'b');
      await append(open(), 'c');
      const [a, b] = ['a', 'b'].map((each) => someFile(each, schema));
      if (!a || !b) throw new Error('no files');
      const merged = { ...someFile('ab', schema), rows: 20 };
      const { metadata } = await replaceFiles(open(), { replaced: [a, b], added: merged, epoch: 1 });
      expect(metadata?.snapshots.at(-1)?.summary).toMatchObject({
        operation: 'replace',
        'total-records': '30',
      });
      expect(await contents(open())).toEqual(['ab', 'c']);
      await expect(replaceFiles(open(), { replaced: [a], added: merged, epoch: 1 })).rejects.toMatchObject({
        code: 'conflict',
      });
    });

    test('a newer Firn adds its columns, by field id', async () => {
      const { open } = fresh();
      const older = { ...schema, columns: schema.columns.slice(0, 6) };
      await append({ ...open(), evolve: evolvingTo(older) }, 'a');
      const { metadata } = await append(open(), 'b');
      expect(metadata).toMatchObject({ currentSchemaId: 1, lastColumnId: 10 });
      expect(metadata?.schemas.map(({ fields }) => fields.length)).toEqual([6, 10]);
    });

    test('properties and tags change without a snapshot, and snapshots beyond the limit go unless they are tagged', async () => {
      const { open } = fresh();
      const table = open({ snapshotsMax: 3 });
      await append(table, 'a');
      await addTag(open(), 'first', { maxAgeMs: 1_000 });
      await changeMetadata(open(), (metadata) => {
        const { 'write.format.default': _, ...properties } = metadata.properties;
        return { ...metadata, properties: { ...properties, x: '1' } };
      });
      for (const each of 'bcdef') await append(table, each);
      const { metadata } = await open().load();
      expect(metadata?.properties.x).toBe('1');
      expect(metadata?.properties['write.format.default']).toBeUndefined();
      expect(metadata?.snapshots.map(({ sequenceNumber }) => sequenceNumber)).toEqual([1, 4, 5, 6]);
      expect(await tagsOf(open())).toMatchObject([{ name: 'first', maxAgeMs: 1_000 }]);
      expect(await removeTag(open(), 'first')).toBe(true);
      expect(await tagsOf(open())).toEqual([]);
      expect(await contents(table)).toHaveLength(6);
    });
  });
}
