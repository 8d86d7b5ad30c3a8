import { expect, test } from 'vitest';
import { tenantId } from '../../lake/model/ids.ts';
import { manifestKey } from '../../lake/model/keys.ts';
import { countedStore, tenant } from '../../test/contract/lake-fixtures.ts';
import { memoryStore } from '../../test/contract/memory-store.ts';
import { quarantine } from './quarantine.ts';
import { quarantineRoutes } from './quarantine-routes.ts';

async function refused() {
  const memory = memoryStore();
  const put = (
    owner: typeof tenant,
    gateway: string,
    epoch: number,
    number: number,
    reason = `reason ${epoch}-${number}`,
  ) => {
    const key = manifestKey(owner, gateway, epoch, number);
    const arrival = { position: { epoch, number }, key, sizeBytes: 1 };
    return quarantine(memory, owner, gateway, arrival, reason, 1_700_000_000_000_000);
  };
  for (const number of [1, 2, 3]) await put(tenant, 'gw-1', 5, number);
  await put(tenant, 'gw-2', 6, 1);
  await put(tenantId('other'), 'gw-1', 9, 9);
  const { store, take } = countedStore(memory);
  const app = quarantineRoutes({ store, tenantOf: () => tenant });
  const ask = async (query: string) => {
    const response = await app.request(`/api/v1/firn/quarantine${query}`);
    return { status: response.status, json: (await response.json()) as Record<string, unknown> };
  };
  return { ask, take, put };
}

test('what was refused of a tenant is listed, the newest first, and nothing of other tenants', async () => {
  const { ask, take } = await refused();
  const { json } = await ask('?limit=2');
  expect(json).toEqual({
    status: 'success',
    data: {
      refused: [
        ['gw-2', 6, 1],
        ['gw-1', 5, 3],
      ].map(([gateway, epoch, number]) => ({
        ...{ gateway, epoch, number, reason: `reason ${epoch}-${number}`, time: '2023-11-14T22:13:20.000Z' },
        manifest: manifestKey(tenant, String(gateway), Number(epoch), Number(number)),
      })),
      more: true,
    },
  });
  expect(take()).toHaveLength(3);
  const all = await ask('?gateway=gw-1');
  expect(all.json).toMatchObject({
    data: { refused: [{ number: 3 }, { number: 2 }, { number: 1 }], more: false },
  });
});

test('the first verdict stands', async () => {
  const { ask, put } = await refused();
  await put(tenant, 'gw-2', 6, 1, 'another');
  const { json } = await ask('?gateway=gw-2');
  expect(json).toMatchObject({ data: { refused: [{ reason: 'reason 6-1' }] } });
});

test.each([
  ['?limit=0', 'limit'],
  ['?limit=1001', 'limit'],
  ['?limit=x', 'limit'],
  ['?gateway=../other', 'gateway'],
])('%s is refused, naming the parameter', async (query, name) => {
  const { ask } = await refused();
  expect(await ask(query)).toMatchObject({
    status: 400,
    json: { error: expect.stringContaining(`invalid parameter "${name}"`) },
  });
});
