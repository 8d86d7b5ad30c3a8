import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { z } from 'zod';
import { loadConfig, printSettings, settingsOf } from './config.ts';
import { FirnError } from './errors.ts';

const schema = z.strictObject({
  site: z.string().default('here').describe('Where it stands'),
  mqtt: z
    .strictObject({
      port: z.number().int().min(0).max(65535).default(1883),
      templates: z.array(z.string()).default([]),
    })
    .prefault({}),
  quiet: z.boolean().default(false),
});
const folder = mkdtempSync(join(tmpdir(), 'firn-config-'));
afterAll(() => rmSync(folder, { recursive: true }));
const file = join(folder, 'gateway.yaml');
writeFileSync(file, 'site: plant\nmqtt:\n  port: 1\n  templates: ["a/{b}"]\n');

const load = (argv: string[], env: Record<string, string> = {}) =>
  loadConfig(schema, { argv, env, variablePrefix: 'FIRN_X' });

test('flags win over the environment, which wins over the file, which wins over defaults', () => {
  expect(load([])).toEqual({ site: 'here', mqtt: { port: 1883, templates: [] }, quiet: false });
  expect(load(['--config', file])).toEqual({
    site: 'plant',
    mqtt: { port: 1, templates: ['a/{b}'] },
    quiet: false,
  });
  expect(load([`--config=${file}`], { FIRN_X_MQTT_PORT: '2' }).mqtt.port).toBe(2);
  expect(load(['--config', file, '--mqtt-port', '3', '--quiet'], { FIRN_X_MQTT_PORT: '2' })).toMatchObject({
    mqtt: { port: 3 },
    quiet: true,
  });
  expect(load(['--mqtt-templates', '["x/#"]']).mqtt.templates).toEqual(['x/#']);
});

test.each([
  [['--nope', '1'], '--nope: there is no such flag'],
  [['--mqtt-port'], '--mqtt-port: it needs a value'],
  [['--mqtt-port', 'x'], '--mqtt-port: "x" is not a number'],
  [['--mqtt-port', '70000'], 'mqtt.port: Too big'],
  [['--quiet', 'maybe'], '--quiet: "maybe" is neither true nor false'],
  [['--config', join(folder, 'absent.yaml')], 'absent.yaml: ENOENT'],
])('%j is refused in one line that names the setting', (argv, message) => {
  const error = (() => {
    try {
      return load(argv);
    } catch (thrown) {
      return thrown;
    }
  })();
  expect(error).toBeInstanceOf(FirnError);
  expect((error as FirnError).message).toContain(message);
  expect((error as FirnError).message).not.toContain('\n');
  expect((error as FirnError).hint).toBeTruthy();
});

test('an unknown field in the file is refused', () => {
  writeFileSync(join(folder, 'typo.yaml'), 'mqtt:\n  prot: 1\n');
  expect(() => load(['--config', join(folder, 'typo.yaml')])).toThrow(/mqtt: Unrecognized key: "prot"/);
});

test('help shows each setting with its default', () => {
  expect(printSettings(settingsOf(schema, 'FIRN_X'))).toContain('--mqtt-port');
  expect(printSettings(settingsOf(schema, 'FIRN_X'))).toContain('Where it stands (default "here")');
});
