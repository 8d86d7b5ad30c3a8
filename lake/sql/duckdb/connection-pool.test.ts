import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Engine, openEngine } from './engine.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await openEngine({ directories: [], memoryBytesMax: 256e6, threads: 1 });
});
afterAll(() => engine[Symbol.asyncDispose]());

const factsOf = (user: string): string => `SET VARIABLE asking = '${user}'; SET VARIABLE other = 1`;

test('a connection is for those who asked for it with the same facts', async () => {
  const { sessions } = engine;
  const ada = await sessions.take(factsOf('ada'));
  sessions.giveBack(ada);
  const bob = await sessions.take(factsOf('bob'));
  expect(bob).not.toBe(ada);
  for (const [user, { connection }] of Object.entries({ ada, bob }))
    expect((await connection.runAndReadAll(`SELECT getvariable('asking')`)).getRows()).toEqual([[user]]);
  const [one, another] = [await sessions.take(factsOf('ada')), await sessions.take(factsOf('ada'))];
  expect(one).toBe(ada);
  expect(another).not.toBe(ada);
});

test('the statements that were prepared last stay prepared', async () => {
  const { prepare } = await engine.sessions.take(factsOf('eve'));
  const preparedOf = async (sql: string, keep = true) => {
    using lease = await prepare(sql, keep);
    await lease.prepared.run();
    return lease.prepared;
  };
  const first = await preparedOf('SELECT 0');
  for (let number = 1; number <= 15; number++) await preparedOf(`SELECT ${number}`);
  expect(await preparedOf('SELECT 0')).toBe(first);
  const second = await preparedOf('SELECT 1');
  for (let number = 16; number <= 29; number++) await preparedOf(`SELECT ${number}`);
  expect(await preparedOf('SELECT 0')).toBe(first);
  await preparedOf('SELECT 30');
  expect(await preparedOf('SELECT 1')).not.toBe(second);
  expect(await preparedOf('SELECT 31', false)).not.toBe(await preparedOf('SELECT 31', false));
  // One that is in use is nobody else's.
  using held = await prepare('SELECT 0', true);
  using other = await prepare('SELECT 0', true);
  expect(other.prepared).not.toBe(held.prepared);
});
