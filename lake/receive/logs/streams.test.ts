import { expect, test } from 'vitest';
import type { Labels } from '../../model/labels.ts';
import { plainLogs } from '../logs.fixture.ts';
import { createLogsBuilder } from '../logs-builder.ts';
import { createSeriesCache } from '../series-cache.ts';
import { deviceStreams, logStreams, serviceNameLabels } from './streams.ts';

const streams = deviceStreams(createSeriesCache({ identity: [['site', 's']] }));
const key = Buffer.from('key');

test.each<[name: string, labels: Labels, service: string]>([
  [
    'Loki’s labels in their order',
    [
      ['job', 'j'],
      ['app', 'a'],
      ['source', 'mqtt'],
    ],
    'a',
  ],
  [
    'a service_name of the sender’s own',
    [
      ['app', 'a'],
      ['service_name', 'press'],
    ],
    'press',
  ],
  [
    'who sent it',
    [
      ['hostname', 'plc-3'],
      ['source', 'syslog'],
    ],
    'plc-3',
  ],
  [
    'what was measured',
    [
      ['measurement', 'tail'],
      ['source', 'influx'],
    ],
    'tail',
  ],
  [
    'at last the protocol',
    [
      ['source', 'mqtt'],
      ['topic', 'a/b'],
    ],
    'mqtt',
  ],
  ['nothing', [['topic', 'a/b']], 'unknown_service'],
])('the service of a stream: %s', (name, labels, service) => {
  const logs = createLogsBuilder();
  logs.append(
    streams.ofKey(name, () => labels),
    { timestampNs: 1n, line: 'x' },
  );
  const [entry] = logs.finish().series;
  expect(JSON.parse(entry?.labels ?? '')).toEqual({
    ...{ ...Object.fromEntries(labels), service_name: service },
    site: 's',
  });
});

test('no service is looked for where a deployment wants none', () => {
  const cache = createSeriesCache({ identity: [] });
  const none = logStreams({ cache, serviceNameFrom: [] });
  expect(none.of(key, 0, 3, () => [['app', 'a']]).series.pending?.labels).toBe('{"app":"a"}');
  const some = logStreams({ cache: createSeriesCache({ identity: [] }), serviceNameFrom: serviceNameLabels });
  expect(some.of(key, 0, 3, () => [['app', 'a']]).series.pending?.labels).toBe(
    '{"app":"a","service_name":"a"}',
  );
});

test('the level of a line: the receiver’s word, the severity, labels, metadata, the line', () => {
  const logs = createLogsBuilder();
  const plain = streams.ofKey('plain', () => [['source', 'mqtt']]);
  const named = streams.ofKey('named', () => [['severity', 'WRN']]);
  logs.append(named, { timestampNs: 1n, line: '[error]', severity: 'alert', level: 'critical' });
  logs.append(named, { timestampNs: 2n, line: '[error]', severity: 'ERR' });
  logs.append(named, { timestampNs: 3n, line: '[error]', metadata: [['level', 'debug']] });
  logs.append(plain, {
    timestampNs: 4n,
    line: '[error]',
    metadata: [
      ['level', 'dbg'],
      ['a', '"'],
    ],
  });
  logs.append(plain, { timestampNs: 5n, line: '[error] ü' });
  logs.append(plain, { timestampNs: 6n, line: 'closed', severity: '' });
  expect(plainLogs(logs.finish())).toMatchObject({
    attributes: [
      '{"detected_level":"critical"}',
      '{"detected_level":"error"}',
      '{"detected_level":"warn","level":"debug"}',
      '{"a":"\\"","detected_level":"debug","level":"dbg"}',
      '{"detected_level":"error"}',
      '{"detected_level":"unknown"}',
    ],
    severity: ['alert', 'ERR', 'warn', 'debug', 'error', null],
  });
});
