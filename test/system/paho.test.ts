import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { run, sql } from '../harness/firn.ts';
import { pythonModule } from '../harness/programs.ts';
import { shareGateway } from '../harness/shared-gateway.ts';

// Eclipse Paho's Python client, which many devices' firmware and scripts are built on; test/harness/paho_client.py is
// what it does.

const script = join(import.meta.dirname, '..', 'harness', 'paho_client.py');
const sharedSubscriptionsNotSupported = 0x9e;

const seenBy = (version: 4 | 5) => ({
  ...{ connected: [0, false], published: [true, true, true], granted: [2] },
  retained: [0, 1, 2].map((qos) => `paho/${version}/qos${qos} ${qos}.5 ${qos} retained`),
  live: [`paho/${version}/qos2 7.5 2`],
  ...{ session: true, kept: 20, will: [`paho/${version}/will gone 1`] },
});

const seenByVersion5 = {
  properties: ['text/plain', 'answer', '0102', [['line', '3']]],
  'expiry left': true,
  'not expired': ['paho/5/expires/later later 1'],
  'session after its expiry': false,
  'shared subscription': [sharedSubscriptionsNotSupported],
};

describe.skipIf(!pythonModule('paho.mqtt.client'))(
  'Paho (skipped where it is not installed: test/setup)',
  () => {
    const gateway = shareGateway();

    test.each([
      { name: 'MQTT 3.1.1', version: 4, seen: seenBy(4) },
      { name: 'MQTT 5', version: 5, seen: { ...seenBy(5), ...seenByVersion5 } },
    ] as const)('$name: what it sees, and its readings are in the lake', async ({ version, seen }) => {
      const client = await run('/usr/bin/python3', [script, String(gateway.port('mqtt')), String(version)]);
      expect(client.stderr).toBe('');
      expect(JSON.parse(client.stdout)).toEqual(seen);
      const where = `labels->>'topic' LIKE 'paho/${version}/qos_'`;
      const rows = await sql(gateway.url, `SELECT value FROM metrics WHERE ${where} ORDER BY value`);
      expect(rows).toEqual([[0.5], [1.5], [2.5], [7.5]]);
    });
  },
);
