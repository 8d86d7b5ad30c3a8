import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { cloudSettings, loadCloudConfig } from '../../cloud/config.ts';
import { gatewaySettings, loadGatewayConfig } from '../../gateway/config.ts';

// No Docker engine is needed to see that docker-compose.yml configures Firn as Firn understands it.

interface Compose {
  readonly services: Readonly<
    Record<
      string,
      { readonly environment?: Record<string, string>; readonly ports?: string[]; readonly command?: unknown }
    >
  >;
  readonly configs: Readonly<Record<string, { readonly content: string }>>;
}
const secret = 'a-secret-of-more-than-twenty-characters';
const text = readFileSync(join(import.meta.dirname, '..', '..', 'docker-compose.yml'), 'utf8');
const filled = text.replace(/\$\{FIRN_KEY_SECRET[^}]*\}/g, secret).replaceAll('$$', '$');
const compose = parse(filled, { merge: true }) as Compose;

test.each([
  ['cloud', cloudSettings, loadCloudConfig],
  ['gateway', gatewaySettings, loadGatewayConfig],
] as const)(
  'the environment of %s is made of settings, and they are valid together',
  (name, settings, load) => {
    const environment = compose.services[name]?.environment ?? {};
    const known = settings.map((setting) => setting.variable);
    expect(Object.keys(environment).length).toBeGreaterThan(5);
    expect(known).toEqual(expect.arrayContaining(Object.keys(environment)));
    expect(load([], environment)).toMatchObject({
      store: { kind: 's3', bucket: 'firn' },
      listen: { host: '0.0.0.0' },
    });
  },
);

test('every port is published on loopback only', () => {
  const ports = Object.values(compose.services).flatMap((service) => service.ports ?? []);
  expect(ports.length).toBeGreaterThanOrEqual(7);
  for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:/);
});

test('the inline configurations can be read', () => {
  expect(JSON.parse(compose.configs.s3?.content ?? '')).toMatchObject({ identities: [{ name: 'firn' }] });
  expect(parse(compose.configs.datasources?.content ?? '')).toMatchObject({ apiVersion: 1 });
});
