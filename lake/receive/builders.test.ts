import { expect, test } from 'vitest';
import { plainLogs } from './logs.fixture.ts';
import { createLogsBuilder } from './logs-builder.ts';
import { createMetricsBuilder } from './metrics-builder.ts';
import type { CachedSeries } from './series-cache.ts';

const series = { idLow: 1, idHigh: 0 } as CachedSeries;
const stream = { series, level: undefined };
const past = { quality: 'device-past', deviceTimestampUs: 0n } as const;
const future = { quality: 'device-future', deviceTimestampUs: null } as const;

test('the columns of doubted times are there for batches that have such times, and for no other', () => {
  const metrics = createMetricsBuilder();
  metrics.append(series, 5, 1);
  metrics.append(series, 6, 2, past);
  metrics.appendBits(series, 7, 0, 0);
  expect(metrics.finish()).toMatchObject({
    rows: 3,
    quality: [null, 'device-past', null],
    deviceTimestampUs: [null, 0n, null],
  });
  metrics.append(series, 8, 3);
  expect(Object.keys(metrics.finish())).not.toContain('quality');

  const logs = createLogsBuilder();
  logs.append(stream, { timestampNs: 1n, line: 'a', doubt: future });
  logs.append(stream, { timestampNs: 2n, line: 'b' });
  expect(plainLogs(logs.finish())).toMatchObject({
    line: ['a', 'b'],
    quality: ['device-future', null],
    deviceTimestampUs: [null, null],
  });
  logs.append(stream, { timestampNs: 3n, line: 'c' });
  expect(Object.keys(logs.finish())).not.toContain('deviceTimestampUs');
});
