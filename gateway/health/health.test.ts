import { tmpdir } from 'node:os';
import { expect, test } from 'vitest';
import type { Clock } from '../../lake/base/clock.ts';
import { createLogger } from '../../lake/base/log.ts';
import type { MetricsBatch } from '../../lake/model/batch.ts';
import { createSeriesCache } from '../../lake/receive/series-cache.ts';
import { type HealthOptions, startHealth } from './health.ts';
import type { Probe } from './probes.ts';

/** Lets `rounds` rounds happen at once and then stands still. */
async function rounds(count: number, options: Partial<HealthOptions>): Promise<MetricsBatch[]> {
  const batches: MetricsBatch[] = [];
  let nowMs = 1_000_000;
  let done = (): void => undefined;
  const finished = new Promise<void>((resolve) => {
    done = resolve;
  });
  const clock: Clock = {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    sleep: async (ms, signal) => {
      nowMs += ms;
      if (batches.length < count) return;
      done();
      await new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)));
    },
  };
  await using _health = startHealth({
    append: async (batch) => void batches.push(batch),
    cache: createSeriesCache({ identity: [['gateway', 'g']] }),
    clock,
    logger: createLogger('silent'),
    intervalMs: 15_000,
    dataDir: tmpdir(),
    counters: () => ({}),
    ...options,
  });
  await finished;
  return batches;
}

const namesOf = (batch: MetricsBatch | undefined): string[] =>
  (batch?.series ?? []).map(({ labels }) => (JSON.parse(labels) as { __name__: string }).__name__);

test('readings and counters every interval, described once, with the identity', async () => {
  const probe: Probe = async () => [
    { name: 'a_bytes_total', help: 'A.', value: 1, labels: { interface: 'eth0' } },
  ];
  const [first, second] = await rounds(2, { probes: [probe], counters: () => ({ mqtt_clients: 3 }) });
  expect(first).toMatchObject({
    rows: 2,
    metadata: [
      { name: 'firn_gateway_a_bytes_total', type: 'counter', help: 'A.' },
      { name: 'firn_gateway_mqtt_clients', type: 'gauge' },
    ],
  });
  expect(first?.series[0]?.labels).toBe(
    '{"__name__":"firn_gateway_a_bytes_total","gateway":"g","interface":"eth0"}',
  );
  expect([...(first?.value ?? [])]).toEqual([1, 3]);
  expect([...(first?.timestampUs ?? [])]).toEqual([1_000_000_000n, 1_000_000_000n]);
  expect(second).toMatchObject({ rows: 2, series: [], metadata: [] });
  expect(second?.timestampUs[0]).toBe(1_015_000_000n);
});

test('what is not known is left out; a probe that fails does not take the others along', async () => {
  const [batch] = await rounds(1, {
    probes: [
      async () => [
        { name: 'null', help: '', value: null as unknown as number },
        { name: 'minus', help: '', value: -1 },
        { name: 'nan', help: '', value: Number.NaN },
        { name: 'zero', help: '', value: 0 },
      ],
      async () => {
        throw new Error('no sensor');
      },
    ],
  });
  expect(namesOf(batch)).toEqual(['firn_gateway_zero']);
});

test('a log that refuses is asked again in the next round', async () => {
  let asked = 0;
  const accepted: MetricsBatch[] = [];
  const append = async (batch: MetricsBatch): Promise<void> => {
    if (asked++ === 0) throw new Error('disk full');
    accepted.push(batch);
  };
  const clock = { nowMs: () => 1, monotonicMs: () => 1, sleep: async () => new Promise<void>(setImmediate) };
  const probes: Probe[] = [async () => [{ name: 'a', help: '', value: 1 }]];
  const options = { cache: createSeriesCache({ identity: [] }), logger: createLogger('silent'), probes };
  {
    await using _health = startHealth({
      ...options,
      append,
      clock,
      intervalMs: 1,
      dataDir: '',
      counters: () => ({}),
    });
    await expect.poll(() => accepted.length).toBeGreaterThan(1);
  }
  // The entry and the description came late, not never, and only once.
  expect(accepted.slice(0, 2).map(namesOf)).toEqual([['firn_gateway_a'], []]);
  expect(accepted.slice(0, 2).map(({ metadata }) => metadata.length)).toEqual([1, 0]);
});

test('this machine can be measured', async () => {
  const [batch] = await rounds(1, {});
  const names = namesOf(batch);
  for (const name of [
    'cpu_load_ratio',
    'memory_size_bytes',
    'memory_available_bytes',
    'disk_size_bytes',
    'disk_available_bytes',
    'host_uptime_seconds',
    'process_resident_memory_bytes',
    'process_cpu_seconds_total',
  ])
    expect(names).toContain(`firn_gateway_${name}`);
  expect(batch?.metadata.every(({ help }) => help.endsWith('.'))).toBe(true);
});
