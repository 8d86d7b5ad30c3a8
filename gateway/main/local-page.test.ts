import { expect, test } from 'vitest';
import { type LocalState, localPage } from './local-page.ts';

const nowMs = 1_000_000_000_000;
const well: LocalState = {
  ...{
    version: '1.0.0',
    tenant: 'acme',
    site: 'north',
    gateway: 'press-1',
    uptimeSeconds: 90,
    mqttPort: 1883,
  },
  ...{ clock: 'trusted', isStoring: true, shipping: undefined, cloud: undefined, image: undefined },
  readings: {
    disk_size_bytes: 8e9,
    disk_available_bytes: 6.5e9,
    cpu_load_ratio: 0.123,
    memory_available_bytes: 5e8,
  },
};

/** Each line of the table as `name mark text`. */
async function linesOf(state: Partial<LocalState>): Promise<string[]> {
  const page = String(await localPage({ ...well, ...state }, 'press-1.local', nowMs));
  return [...page.matchAll(/<tr>(.*?)<\/tr>/gs)].map(([, row = '']) =>
    row
      .replaceAll(/<[^>]+>/g, ' ')
      .replaceAll(/\s+/g, ' ')
      .trim(),
  );
}

test('a gateway by itself that does well', async () => {
  expect(await linesOf({})).toEqual([
    'Receiving 0 MQTT clients connected',
    'Storing ok 6.5 GB of 8.0 GB free',
    'Shipping is not set up; everything stays here',
    'Cloud this gateway is enrolled with none (give it the address of one, or a claim)',
    'Time ok is known',
    'Machine 12 % of its processors busy, 500 MB of memory left, up for 90 s',
  ]);
});

test.each<[string, Partial<LocalState>, string]>([
  [
    'what came',
    { readings: { mqtt_received_messages_total: 1234, mqtt_clients: 2, mqtt_refused_logins_total: 3 } },
    'Receiving ok 1,234 MQTT messages; 2 MQTT clients connected; 3 MQTT logins refused: wrong user or password',
  ],
  [
    'a full disk',
    { isStoring: false },
    'Storing look nothing can be stored now; is the disk full, or read-only?',
  ],
  [
    'a store that is away',
    { shipping: { connected: false, lastError: 'connect ECONNREFUSED', backlogRows: 5000 } },
    'Shipping look 5,000 rows wait; the store is not reached: connect ECONNREFUSED',
  ],
  [
    'a cloud that is away',
    { cloud: { contactMs: nowMs - 600_000, lastError: 'timeout' } },
    'Cloud look it answered 10 min ago; timeout',
  ],
  [
    'an unknown time',
    { clock: 'untrusted' },
    'Time look is not sure: rows wait for a time server or the cloud, and are corrected then',
  ],
  ['an update', { image: { version: '0.1.0', told: { state: 'trying' } } }, 'Image 0.1.0, update trying'],
])('%s is said', async (_, state, line) => {
  expect(await linesOf(state)).toContain(line);
});

test('names are text, whatever is in them', async () => {
  const page = String(await localPage({ ...well, site: '<script>alert(1)</script>' }, '"><b>', nowMs));
  expect(page).not.toMatch(/<script>|<b>/);
});
