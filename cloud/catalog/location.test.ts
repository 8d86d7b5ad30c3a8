import { expect, test } from 'vitest';
import { locationsOf } from './location.ts';

const directory = locationsOf((key) => `file:///data/lake/${key}`);
const s3 = locationsOf((key) => `s3://bucket/firn/${key}`);

test.each([
  [directory, 'file:///data/lake/t/a.parquet', 't/a.parquet'],
  [directory, 'file:/data/lake/t/a.parquet', 't/a.parquet'],
  [directory, '/data/lake/t/a.parquet', 't/a.parquet'],
  [s3, 's3://bucket/firn/t/a.parquet', 't/a.parquet'],
  [s3, 's3a://bucket/firn/t/a.parquet', 't/a.parquet'],
])('%o knows %s', (locations, location, key) => {
  expect(locations.keyOf(location)).toBe(key);
  expect(locations.keyOf(locations.of(key))).toBe(key);
});

test.each([
  [directory, 'file:///etc/passwd'],
  [directory, 'file:///data/lake/../secret'],
  [directory, 'file:///data/lake/'],
  [directory, 's3://bucket/firn/t/a.parquet'],
  [s3, 's3://other/firn/t/a.parquet'],
])('%o refuses %s', (locations, location) => {
  expect(() => locations.keyOf(location)).toThrow(
    expect.objectContaining({ code: 'invalid', subject: location }),
  );
});
