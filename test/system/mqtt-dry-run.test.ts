import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import mqtt from 'mqtt';
import { expect, test } from 'vitest';
import { runFirn, temporaryFolder } from '../harness/firn.ts';
import { shareGateway } from '../harness/shared-gateway.ts';

// What a user does before mapping rules are switched on: capture, dry run, and what is said when something is wrong.

const gateway = shareGateway();

/** Runs a command while a sensor sends. */
async function whileSending(...argv: string[]): Promise<Awaited<ReturnType<typeof runFirn>>> {
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${gateway.port('mqtt')}`);
  await client.publishAsync('plant/l1/temp', '20.5', { retain: true });
  const timer = setInterval(() => {
    client.publish('plant/l2/temp', '21.5');
    client.publish('raw/x', Buffer.of(0xff, 0, 1));
  }, 100);
  try {
    return await runFirn(...argv);
  } finally {
    clearInterval(timer);
    await client.endAsync();
  }
}

test('a capture of a live broker, and the live broker itself, are tried with rules', async () => {
  using folder = temporaryFolder();
  const [rules, capture] = [join(folder.path, 'rules.yaml'), join(folder.path, 'capture.jsonl')];
  writeFileSync(rules, '- { name: temps, topic: "plant/{line}/temp", topicLabel: false }\n');
  const broker = `mqtt://127.0.0.1:${gateway.port('mqtt')}`;
  const live = ['--broker', broker, '--seconds', '2', '--topic'];

  const captured = await whileSending('mqtt', 'capture', ...live, '#');
  expect(captured).toMatchObject({
    code: 0,
    stderr: expect.stringMatching(/^listening .*\n\d+ messages came\n$/),
  });
  writeFileSync(capture, captured.stdout);
  const lines = captured.stdout.trimEnd().split('\n').length;
  expect(captured.stderr).toContain(`${lines} messages came`);

  const fromFile = await runFirn('mqtt', 'dry-run', '--rules', rules, '--capture', capture, '--json');
  expect(fromFile).toMatchObject({ code: 0, stderr: '' });
  const report = JSON.parse(fromFile.stdout);
  expect(report).toMatchObject({ messages: lines, series: 1, unmatched: ['raw/x'] });
  const temps = report.rules.find(({ rule }: { rule: string }) => rule === 'rule 1 (temps)');
  // The retained message is not new.
  expect(temps).toMatchObject({ topics: 2, series: 1, ignored: 1, retained: 1, rows: temps.messages - 1 });
  expect(temps.samples[0]).toMatch(/^temp\{line="l2"\} 21\.5 20/);
  expect(temps.rows).toBeGreaterThan(3);

  const fromBroker = await whileSending('mqtt', 'dry-run', '--rules', rules, ...live, 'plant/#');
  expect(fromBroker.code).toBe(0);
  expect(fromBroker.stdout).toMatch(/rule 1 \(temps\): \d+ messages on 2 topics, \d+ rows, 1 series/);
  expect(fromBroker.stdout).toContain('because they are retained, not new');
});

test.each([
  [['capture'], '--broker is missing'],
  [['capture', '--broker', 'localhost'], '"localhost" is no URL of a broker'],
  [
    ['capture', '--broker', 'mqtt://u:secret@127.0.0.1:1'],
    /^firn mqtt capture: mqtt:\/\/127\.0\.0\.1:1: no connection/,
  ],
  [['capture', '--broker', 'BROKER', '--seconds', 'x'], '--seconds is not a number'],
  [['capture', '--broker', 'BROKER', '--topic', 'a/#/b'], 'no subscription to a/#/b: Invalid topic'],
  [['dry-run'], 'there are no messages'],
  [['dry-run', '--capture', 'none.jsonl'], '--capture: ENOENT'],
  [['dry-run', '--capture', 'none.jsonl', '--seconds', '5'], '--seconds does not go with --capture'],
  [['dry-run', '--rules', 'none.yaml', '--capture', 'none.jsonl'], 'none.yaml: ENOENT'],
])('firn mqtt %j says what is wrong', async (argv, message) => {
  const broker = `mqtt://127.0.0.1:${gateway.port('mqtt')}`;
  const said = await runFirn('mqtt', ...argv.map((text) => (text === 'BROKER' ? broker : text)));
  expect(said).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(message) });
  expect(said.stderr).not.toContain('secret');
});
