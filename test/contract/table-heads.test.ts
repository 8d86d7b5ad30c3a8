import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { commit } from '../../cloud/catalog/commit.ts';
import { locationsOf } from '../../cloud/catalog/location.ts';
import { type RestCatalogSettings, restCatalog } from '../../cloud/catalog/rest/client.ts';
import { restHead } from '../../cloud/catalog/rest/head.ts';
import { type HeadOf, type IcebergTable, openTable } from '../../cloud/catalog/table.ts';
import { systemClock } from '../../lake/base/clock.ts';
import { tableSchemas } from '../../lake/schema/tables.ts';
import { locationOf, someFile, tenant } from './lake-fixtures.ts';
import { memoryStore } from './memory-store.ts';
import { type RestCatalogServer, startRestCatalog } from './rest-catalog-server.ts';
import { describeTableHead } from './table-heads.ts';

const schema = tableSchemas.metrics;
const clock = systemClock;

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
