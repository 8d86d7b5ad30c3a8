import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { connect, opened, start, until, urlOf } from './broker.fixture.ts';
import { openRules } from './rules-file.ts';

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'firn-rules-'));
  opened.push(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

test('rules of the configuration come before those of the file', async () => {
  const path = join(folder(), 'rules.yaml');
  writeFileSync(
    path,
    'rules:\n  - topic: a/{x}\n    metrics: [{ value: $.v, name: from_file }]\n  - preset: tasmota\n',
  );
  const rules = openRules([{ topic: 'a/1', metrics: [{ value: '$.v', name: 'inline' }] }], path);
  const { broker, log } = await start({ rules });
  const client = await connect(urlOf(broker));
  for (const topic of ['a/1', 'a/2', 'b/2']) await client.publishAsync(topic, '{"v":1}', { qos: 1 });
  await client.publishAsync('tele/x/LWT', 'Online', { qos: 1 });
  expect(log.names()).toEqual(['inline', 'from_file', 'v', 'tasmota_online']);
});

test.each([
  ['- topic: [', /rules\.yaml: Flow sequence .* at line 1, column \d+$/],
  ['name: x', 'it holds no list of rules'],
  ['- topic: a/{', 'rules.yaml: rule 1: topic: level "{" is not known'],
])('%j is refused', (text, message) => {
  const path = join(folder(), 'rules.yaml');
  writeFileSync(path, text);
  expect(() => openRules([], path)).toThrow(message);
});

test('what Home Assistant discovery told is known after a restart', async () => {
  const dataDir = folder();
  const first = await start({ dataDir, rules: openRules([{ preset: 'homeassistant' }], '') });
  const client = await connect(urlOf(first.broker));
  const config = '{"stat_t":"x/state","dev_cla":"power","val_tpl":"{{ value_json.w }}","uniq_id":"u"}';
  await client.publishAsync('homeassistant/sensor/x/config', config, { qos: 1, retain: true });
  await client.endAsync();
  await first.broker[Symbol.asyncDispose]();
  const { broker, log } = await start({ dataDir, rules: openRules([{ preset: 'homeassistant' }], '') });
  const second = await connect(urlOf(broker));
  await second.publishAsync('x/state', '{"w":5}', { qos: 1 });
  await until(() => log.names().length > 0);
  expect(log.names()).toEqual(['homeassistant_power']);
});

test('a retained message that a bridge subscribed to is stored only with its own time', async () => {
  const { broker, log } = await start();
  const stored = (payload: string) =>
    new Promise((resolve) => broker.store.store('a/b', Buffer.from(payload), resolve, 'old'));
  expect(await stored('5')).toBeUndefined();
  expect(await stored('{"ts":1700000000,"value":6}')).toBeUndefined();
  expect(log.values()).toEqual([6]);
  const client = await connect(urlOf(broker));
  await client.publishAsync('a/b', '7', { qos: 1, retain: true });
  expect(log.values()).toEqual([6, 7]);
});
