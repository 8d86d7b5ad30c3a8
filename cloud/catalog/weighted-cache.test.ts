import { expect, test } from 'vitest';
import { weightedCache } from './weighted-cache.ts';

const made: string[] = [];
const make = (value: string) => async () => {
  made.push(value);
  return value;
};

test('the least recently used values go when the weight is too much', async () => {
  const cache = weightedCache<string>(6, (value) => value.length);
  await cache.get('a', make('aa'));
  await cache.get('b', make('bb'));
  await cache.get('c', make('cc'));
  await cache.get('a', make('again'));
  await cache.get('d', make('dd'));
  made.length = 0;
  for (const key of ['a', 'c', 'd']) await cache.get(key, make('again'));
  expect(made).toEqual([]);
  expect(await cache.get('b', make('b2'))).toBe('b2');
  expect(cache.weight()).toBe(6);
});

test('what alone is too heavy is handed out and not kept', async () => {
  const cache = weightedCache<string>(3, (value) => value.length);
  await cache.get('a', make('aa'));
  expect(await cache.get('b', make('bbbb'))).toBe('bbbb');
  expect(cache.weight()).toBe(2);
});

test('callers share the work, and a failure is not kept, however it comes', async () => {
  const cache = weightedCache<string>(10, (value) => value.length);
  made.length = 0;
  await Promise.all([cache.get('a', make('a')), cache.get('a', make('other'))]);
  expect(made).toEqual(['a']);
  const fail = (): Promise<string> => {
    throw new Error('no');
  };
  await expect(cache.get('b', fail)).rejects.toThrow('no');
  expect(await cache.get('b', make('b'))).toBe('b');
  cache.set('b', 'bb');
  expect(await cache.get('b', make('c'))).toBe('bb');
  expect(cache.weight()).toBe(3);
});
