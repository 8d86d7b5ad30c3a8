import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { changeMetadata, commit } from '../../cloud/catalog/commit.ts';
import { locationsOf } from '../../cloud/catalog/location.ts';
import { type RestCatalogSettings, restCatalog } from '../../cloud/catalog/rest/client.ts';
import { restHead } from '../../cloud/catalog/rest/head.ts';
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
import { tableSchemas } from '../../lake/schema/tables.ts';
import { locationOf, someFile, tenant } from './lake-fixtures.ts';
import { type MemoryStore, memoryStore } from './memory-store.ts';
import { type RestCatalogServer, startRestCatalog } from './rest-catalog-server.ts';

// One suite for whoever decides which metadata is the newest: the object store alone, and an external REST catalog.

const schema = tableSchemas.metrics;
const clock = systemClock;

function describeTableHead(
  name: string,
  make: () => { store: MemoryStore; headOf: HeadOf | undefined },
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
      expect(store.objects.has(locationsOf(locationOf).keyOf(location ?? ''))).toBe(true);
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

describeTableHead('an object store alone', () => ({ store: memoryStore(), headOf: undefined }));

const client = { id: 'firn', secret: 'secret' };
const settingsOf = (server: RestCatalogServer): RestCatalogSettings => ({
  ...{ uri: server.uri, warehouse: 'lake', token: '', clientId: client.id, clientSecret: client.secret },
  ...{ scope: 'catalog', oauthUri: '' },
});

const store = memoryStore();
const { keyOf } = locationsOf(locationOf);
let server: RestCatalogServer;
let catalogs = 0;
beforeAll(async () => {
  server = await startRestCatalog({ store, keyOf, client });
});
afterAll(() => server[Symbol.asyncDispose]());

/** Each in a namespace of its own. */
const restHeads = (settings = settingsOf(server)): HeadOf => {
  const namespace = `${tenant}-${catalogs++}`;
  const catalog = restCatalog(settings, clock);
  return ({ name }) => restHead(catalog, namespace, name);
};

describeTableHead('an external REST catalog', () => ({ store, headOf: restHeads() }));

describe('a REST catalog', () => {
  const open = (headOf: HeadOf): IcebergTable =>
    openTable({ store, tenant, signal: 'metrics', locationOf, clock, headOf });
  const append = (table: IcebergTable, name: string) =>
    commit(table, () => ({ added: [someFile(name, schema)], summary: {} }));

  test.each(['before', 'after'] as const)(
    'whose answer to a commit is lost %s it was made leaves that open, and a new try makes it once',
    async (when) => {
      const table = open(restHeads());
      await append(table, 'a');
      server.failNextCommit(when);
      await expect(append(table, 'b')).rejects.toMatchObject({ code: 'unavailable' });
      await table.load();
      await commit(table, async (current) => {
        const entries = await Promise.all(
          (await table.manifestsOf(current)).map((each) => table.entriesOf(each)),
        );
        const there = entries.flat().some(({ file }) => file.path.endsWith('/b.parquet'));
        expect(there).toBe(when === 'after');
        return there ? undefined : { added: [someFile('b', schema)], summary: {} };
      });
      expect((await table.load()).metadata?.snapshots).toHaveLength(2);
    },
  );

  test('gives tokens: one serves until it is refused', async () => {
    const before = server.tokens();
    const table = open(restHeads());
    await append(table, 'a');
    await append(table, 'b');
    expect(server.tokens() - before).toBe(1);
    server.forgetTokens();
    await append(table, 'c');
    expect(server.tokens() - before).toBe(2);
  });

  test('is asked for an unchanged table with its ETag', async () => {
    const table = open(restHeads());
    const state = await append(table, 'a');
    expect((await table.load()).metadata).toBe(state.metadata);
  });

  test.each([
    ['a wrong secret', () => ({ ...settingsOf(server), clientSecret: 'x' }), 'denied'],
    ['a token that is none', () => ({ ...settingsOf(server), clientId: '', token: 'x' }), 'denied'],
    ['nobody at the address', () => ({ ...settingsOf(server), uri: 'http://127.0.0.1:1' }), 'unavailable'],
    ['something else at the address', () => ({ ...settingsOf(server), uri: `${server.uri}/v1/x` }), 'denied'],
  ])('with %s is an error', async (_what, settings, code) => {
    await expect(open(restHeads(settings())).load()).rejects.toMatchObject({ code });
  });

  const openApi = join(
    import.meta.dirname,
    '../../../shared/corpora/iceberg/spec/rest-catalog-open-api.yaml',
  );
  test.skipIf(!existsSync(openApi))(
    "is sent commits that are valid by the specification's schema (skipped without the corpora)",
    () => {
      const text = readFileSync(openApi, 'utf8').replaceAll('#/components/schemas/', '#/$defs/');
      const { components } = parse(text, { merge: true }) as {
        components: { schemas: Record<string, unknown> };
      };
      const json = { $ref: '#/$defs/CommitTableRequest', $defs: components.schemas };
      const valid = z.fromJSONSchema(json as Parameters<typeof z.fromJSONSchema>[0]);
      expect(server.commits.length).toBeGreaterThan(50);
      for (const body of server.commits.slice(0, 60)) {
        const result = valid.safeParse(body);
        expect(result.error?.issues, JSON.stringify(body)).toBeUndefined();
      }
    },
  );
});
