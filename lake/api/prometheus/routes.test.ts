import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { gunzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { systemClock } from '../../base/clock.ts';
import { FirnError } from '../../base/errors.ts';
import { createLogger } from '../../base/log.ts';
import { sampleText, timestampText } from '../../base/number-text.ts';
import { tenantId } from '../../model/ids.ts';
import { canonicalLabels, type Labels } from '../../model/labels.ts';
import { createResultCache } from '../../promql/cache/result-cache.ts';
import { defaultQueryLimits, type QueryLimits } from '../../promql/limits.ts';
import type { SeriesData } from '../../promql/source.ts';
import type { LabelsRequest, SeriesScan } from '../../scan/series-scan.ts';
import { startHttpServer } from '../http-server.ts';
import { type PrometheusOptions, prometheusRoutes } from './routes.ts';

const labels = (pairs: Record<string, string>): Labels => canonicalLabels(Object.entries(pairs));
const series: SeriesData = {
  labels: labels({ __name__: 'up', '10': 'ten', job: 'a"b' }),
  timestampsMs: Float64Array.of(1000, 2000, 3500),
  values: Float64Array.of(1, 2, 3),
};

/** A scan that remembers what it was asked, and answers with one series. */
function fakeScan(change: Partial<SeriesScan> = {}): SeriesScan & { readonly asked: LabelsRequest[] } {
  const asked: LabelsRequest[] = [];
  const remember = <T>(request: LabelsRequest, answer: T): T => {
    asked.push(request);
    return answer;
  };
  return {
    asked,
    select: async () => [series],
    labelNames: async (request) => remember(request, ['__name__', 'job', 'site']),
    labelValues: async (label, request) => remember(request, [label]),
    exemplars: async () => [],
    series: async (request) => remember(request, [series.labels]),
    ...change,
  };
}

const metadata = [
  { name: 'up', type: 'gauge', help: 'Is it up?', unit: '' },
  { name: 'up', type: 'unknown', help: '', unit: '' },
  { name: 'size_bytes', type: 'gauge', help: 'Size', unit: 'bytes' },
];
const buildInfo = {
  version: '3.5.0',
  revision: 'r',
  branch: 'b',
  buildUser: 'u',
  buildDate: 'd',
  goVersion: 'g',
};

function appOf(scan: SeriesScan, change: Partial<PrometheusOptions> = {}) {
  const tables = {
    tenant: tenantId('demo'),
    open: async () => {
      throw new Error('the scan opens tables itself');
    },
    metricMetadata: async () => metadata,
  };
  return prometheusRoutes({
    context: () => ({ tables, scan }),
    limits: defaultQueryLimits,
    clock: systemClock,
    logger: createLogger('silent'),
    buildInfo,
    ...change,
  });
}

async function ask(path: string, init?: RequestInit, app = appOf(fakeScan())) {
  const response = await app.request(path, init);
  return { status: response.status, text: await response.text() };
}

const vector = '{"status":"success","data":{"resultType":"vector","result":';
test.each([
  [
    '/api/v1/query?query=1%2B1&time=4',
    `{"status":"success","data":{"resultType":"scalar","result":[4,"2"]}}`,
  ],
  [
    '/api/v1/query?query=%22a%22&time=4.5',
    `{"status":"success","data":{"resultType":"string","result":[4.500,"a"]}}`,
  ],
  [
    '/api/v1/query?query=up&time=2',
    `${vector}[{"metric":{"10":"ten","__name__":"up","job":"a\\"b"},"value":[2,"2"]}]}}`,
  ],
  [
    '/api/v1/query?query=up&time=1970-01-01T00:00:02.5Z',
    `${vector}[{"metric":{"10":"ten","__name__":"up","job":"a\\"b"},"value":[2.500,"2"]}]}}`,
  ],
  [
    '/api/v1/query?query=up/0&time=2&stats=all',
    `${vector}[{"metric":{"10":"ten","job":"a\\"b"},"value":[2,"+Inf"]}],"stats":{"timings":{…},"samples":{"totalQueryableSamplesPerStep":[[2,1]],"totalQueryableSamples":1,"peakSamples":6}}}}`,
  ],
  [
    '/api/v1/query?query=vector(1)%20or%20up&time=2&limit=1',
    `${vector}[{"metric":{},"value":[2,"1"]}]},"warnings":["results truncated due to limit"]}`,
  ],
  [
    '/api/v1/query_range?query=sum(up)&start=1&end=3.5&step=1.25',
    '{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"1"],[2.250,"2"],[3.500,"3"]]}]}}',
  ],
  [
    '/api/v1/query_range?query=rate(up[2s])&start=3.5&end=3.5&step=1m',
    '{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"10":"ten","job":"a\\"b"},"values":[[3.500,"0.6666666666666666"]]}]},"infos":["PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \\"up\\" (1:6)"]}',
  ],
  [
    '/api/v1/query_exemplars?query=test&start=1700000000000&end=99999999999999',
    '{"status":"success","data":[]}',
  ],
  ['/api/v1/labels', '{"status":"success","data":["__name__","job","site"]}'],
  [
    '/api/v1/labels?limit=2',
    '{"status":"success","data":["__name__","job"],"warnings":["results truncated due to limit"]}',
  ],
  ['/api/v1/label/U__my_2e_label__x/values', '{"status":"success","data":["my.label_x"]}'],
  ['/api/v1/label/job/values', '{"status":"success","data":["job"]}'],
  ['/api/v1/series?match[]=up', '{"status":"success","data":[{"10":"ten","__name__":"up","job":"a\\"b"}]}'],
  [
    '/api/v1/metadata?metric=size_bytes',
    '{"status":"success","data":{"size_bytes":[{"type":"gauge","help":"Size","unit":"bytes"}]}}',
  ],
  [
    '/api/v1/metadata?limit=1&limit_per_metric=1',
    '{"status":"success","data":{"up":[{"type":"gauge","help":"Is it up?","unit":""}]}}',
  ],
  ['/api/v1/status/buildinfo', `{"status":"success","data":${JSON.stringify(buildInfo)}}`],
  ['/api/v1/rules?type=alert', '{"status":"success","data":{"groups":[]}}'],
  ['/api/v1/alerts', '{"status":"success","data":{"alerts":[]}}'],
  ['/api/v1/format_query?query=sum(a)by(b)', '{"status":"success","data":"sum by (b) (a)"}'],
])('GET %s', async (path, body) => {
  const { status, text } = await ask(path);
  // How long something takes is another time another.
  expect({ status, text: text.replace(/(?<="timings":){[^}]*}/, '{…}') }).toEqual({
    status: 200,
    text: body,
  });
});

test.each([
  [
    '/api/v1/query?query=sum(',
    400,
    'bad_data',
    'invalid parameter "query": 1:5: parse error: unclosed left parenthesis',
  ],
  [
    '/api/v1/query?query=rate(up)',
    400,
    'bad_data',
    'invalid parameter "query": 1:6: parse error: expected type range vector in call to function "rate", got instant vector',
  ],
  [
    '/api/v1/query?query=up&time=x',
    400,
    'bad_data',
    `invalid parameter "time": invalid time value for 'time': cannot parse "x" to a valid timestamp`,
  ],
  [
    '/api/v1/query?query=up&limit=-1',
    400,
    'bad_data',
    'invalid parameter "limit": limit must be non-negative',
  ],
  [
    '/api/v1/query?query=up&timeout=x',
    400,
    'bad_data',
    'invalid parameter "timeout": cannot parse "x" to a valid duration',
  ],
  [
    '/api/v1/query?query=up{a=~"("}',
    400,
    'bad_data',
    'invalid parameter "query": 1:4: parse error: error parsing regexp: missing closing ): `(`',
  ],
  [
    '/api/v1/query?query=up+*+on()+group_left()+label_replace(up,"b","c","","")&time=2',
    200,
    undefined,
    undefined,
  ],
  [
    '/api/v1/query?query=label_replace(up,"","","","")&time=2',
    422,
    'execution',
    'invalid destination label name in label_replace(): ',
  ],
  [
    '/api/v1/query?query=up&timeout=0',
    503,
    'timeout',
    'query timed out in expression evaluation (timeoutMs = 0); select fewer series, a shorter range or a longer step',
  ],
  [
    '/api/v1/query_range?query=up&start=2&end=1&step=1',
    400,
    'bad_data',
    'invalid parameter "end": end timestamp must not be before start time',
  ],
  [
    '/api/v1/query_range?query=up&start=1&end=2&step=0',
    400,
    'bad_data',
    'invalid parameter "step": zero or negative query resolution step widths are not accepted. Try a positive integer',
  ],
  [
    '/api/v1/query_range?query=up&start=0&end=11001&step=1',
    400,
    'bad_data',
    'exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)',
  ],
  [
    '/api/v1/query_range?query=up[5m]&start=0&end=1&step=1',
    400,
    'bad_data',
    'invalid expression type "range vector" for range query, must be Scalar or instant Vector',
  ],
  ['/api/v1/series', 400, 'bad_data', 'no match[] parameter provided'],
  ['/api/v1/series?match[]={a=""}', 400, 'bad_data', 'match[] must contain at least one non-empty matcher'],
])('%s is answered with %s %s', async (path, status, errorType, error) => {
  const { status: got, text } = await ask(encodeURI(path));
  const json = JSON.parse(text) as object;
  if (errorType === undefined) expect(got).toBe(status);
  else expect([got, json]).toEqual([status, { status: 'error', errorType, error }]);
});

test('a POST form and the URL are merged; match[] of both count', async () => {
  const scan = fakeScan();
  const app = appOf(scan);
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  const init = { method: 'POST', headers, body: 'query=1&time=1' };
  expect((await ask('/api/v1/query?query=2&stats=all', init, app)).text).toContain(
    '"result":[1,"1"],"stats"',
  );
  // Metrics drilldown puts all into the URL of a POST without a body.
  expect((await ask('/api/v1/query?query=2&time=3', { method: 'POST' }, app)).text).toContain('[3,"2"]');
  await ask('/api/v1/series?match[]=a&start=1', { method: 'POST', headers, body: 'match[]=b&limit=5' }, app);
  expect(scan.asked).toEqual([
    {
      matcherSets: [
        [{ label: '__name__', op: '=', value: 'b' }],
        [{ label: '__name__', op: '=', value: 'a' }],
      ],
      fromMs: 1000,
      limit: 5,
    },
  ]);
});

test('a body over bodyBytesMax is refused', async () => {
  const app = appOf(fakeScan(), { bodyBytesMax: 100 });
  const headers = { 'content-type': 'application/x-www-form-urlencoded', 'content-length': '200' };
  const { status, text } = await ask(
    '/api/v1/query',
    { method: 'POST', headers, body: 'x'.repeat(200) },
    app,
  );
  expect([status, JSON.parse(text)]).toEqual([
    413,
    { status: 'error', errorType: 'bad_data', error: 'the body is larger than 100 bytes (bodyBytesMax)' },
  ]);
});

test('errors of the store have the status of their kind, and unforeseen ones are 500', async () => {
  const failing = (error: Error) => appOf(fakeScan({ select: () => Promise.reject(error) }));
  const limit = (subject: string) =>
    new FirnError({ code: 'limit', operation: 'o', subject, message: 'too many series' });
  const path = '/api/v1/query?query=up&time=1';
  expect((await ask(path, {}, failing(limit('seriesMax')))).status).toBe(422);
  expect((await ask(path, {}, failing(limit('samplesMax')))).text).toContain(
    'query processing would load too many samples into memory in query execution',
  );
  expect((await ask(path, {}, failing(new Error('boom')))).status).toBe(500);
});

test('an answer tells how many steps were remembered; cache=off has all of them evaluated', async () => {
  let version = 'a';
  const versions = { scope: 'demo', look: async () => () => version };
  const app = appOf(fakeScan({ versions }), { cache: createResultCache(1e6) });
  const range = '/api/v1/query_range?query=sum(up)&start=0&end=100&step=1';
  const askAgain = async (more = '') => {
    const response = await app.request(`${range}${more}`);
    return { steps: response.headers.get('x-firn-cached-steps'), text: await response.text() };
  };
  const { text } = await askAgain();
  expect(await askAgain()).toEqual({ steps: '101', text });
  expect(await askAgain('&cache=off')).toEqual({ steps: null, text });
  // Counted by step it is another answer.
  const counted = await askAgain('&stats=all');
  expect(counted.steps).toBe('0');
  const again = JSON.parse((await askAgain('&stats=all')).text);
  expect(again.data.stats).toMatchObject({ cachedSteps: 101, samples: { totalQueryableSamples: 100 } });
  version = 'b';
  expect(await askAgain()).toEqual({ steps: '0', text });
  expect(
    (await app.request(range.replace('sum(up)', 'up + start()'))).headers.get('x-firn-cached-steps'),
  ).toBeNull();
});

/** A scan that takes for ever. */
const untilStopped: SeriesScan['select'] = async (_selection, signal) => {
  await once(signal, 'abort');
  throw signal.reason;
};
const samplesText = 'query processing would load too many samples into memory in query execution';
const narrow = 'select fewer series, a shorter range or a longer step';
const limitOf = (subject: string, message: string): SeriesScan['select'] => {
  const hint = 'select fewer series or a shorter time';
  return () =>
    Promise.reject(new FirnError({ code: 'limit', operation: 'read series', subject, message, hint }));
};
test.each([
  ['query?query=up&time=4', { limits: { samplesMax: 2 } }, 422, `${samplesText} (samplesMax = 2); ${narrow}`],
  [
    'query?query=up&time=4',
    { select: limitOf('seriesMax', 'the selection holds more than 7 series (seriesMax)') },
    422,
    'the selection holds more than 7 series (seriesMax); select fewer series or a shorter time',
  ],
  [
    'query?query=up&time=4',
    { select: limitOf('query.memoryBytesMax', 'the selected series do not fit (query.memoryBytesMax)') },
    422,
    'the selected series do not fit (query.memoryBytesMax); select fewer series or a shorter time',
  ],
  [
    'query_range?query=1&start=0&end=5001&step=1',
    { limits: { stepsMax: 5000 } },
    400,
    'exceeded maximum resolution of 5,000 points per timeseries. Try decreasing the query resolution (?step=XX)',
  ],
  [
    'query?query=up&time=4&timeout=50ms',
    { select: untilStopped },
    503,
    `query timed out in expression evaluation (timeoutMs = 50); ${narrow}`,
  ],
  [
    'query?query=up&time=4',
    { select: untilStopped, limits: { timeoutMs: 30 } },
    503,
    `query timed out in expression evaluation (timeoutMs = 30); ${narrow}`,
  ],
])('%s says which limit it met: %j', async (path, { select, limits = {} }: Limited, status, error) => {
  const app = appOf(fakeScan(select && { select }), { limits: { ...defaultQueryLimits, ...limits } });
  const { status: got, text } = await ask(`/api/v1/${path}`, {}, app);
  const errorType = { 400: 'bad_data', 422: 'execution', 503: 'timeout' }[status];
  expect([got, JSON.parse(text)]).toEqual([status, { status: 'error', errorType, error }]);
});

interface Limited {
  readonly select?: SeriesScan['select'];
  readonly limits?: Partial<QueryLimits>;
}

test('a large answer is compressed with gzip when the client takes it, and never otherwise', async () => {
  const steps = '/api/v1/query_range?query=vector(1)&start=0&end=10000&step=1';
  const app = appOf(fakeScan());
  for (const accept of ['gzip, deflate, br, zstd', 'br, zstd', 'deflate']) {
    const response = await app.request(steps, { headers: { 'accept-encoding': accept } });
    const bytes = Buffer.from(await response.arrayBuffer());
    const gzip = accept.startsWith('gzip');
    expect(response.headers.get('content-encoding')).toBe(gzip ? 'gzip' : null);
    const json = JSON.parse((gzip ? gunzipSync(bytes) : bytes).toString()) as {
      data: { result: [{ values: unknown[] }] };
    };
    expect(json.data.result[0].values).toHaveLength(10_001);
  }
});

test('a query ends when its client is gone', async () => {
  const { promise: started, resolve: start } = Promise.withResolvers<void>();
  const { promise: stopped, resolve: stop } = Promise.withResolvers<void>();
  const scan = fakeScan({
    select: async (_selection, signal) => {
      start();
      await once(signal, 'abort');
      stop();
      throw signal.reason;
    },
  });
  await using server = await startHttpServer(appOf(scan), { host: '127.0.0.1', port: 0 });
  const request = httpRequest(`http://127.0.0.1:${server.port}/api/v1/query?query=up`);
  request.on('error', () => undefined).end();
  await started;
  request.destroy();
  await stopped;
});

test.each([
  [0, '0'],
  [-0, '-0'],
  [1e-6, '0.000001'],
  [1e-7, '1e-07'],
  [1.2345678e-67, '1.2345678e-67'],
  [1e20, '100000000000000000000'],
  [1e21, '1e+21'],
  [Number.NaN, 'NaN'],
  [-Infinity, '-Inf'],
  [0.1, '0.1'],
])('the value %s is written %s', (value, text) => {
  expect(sampleText(value)).toBe(text);
});

test.each([
  [0, '0'],
  [1, '0.001'],
  [10, '0.010'],
  [1100, '1.100'],
  [1_234_567_812_345_678, '1234567812345.678'],
  [-1, '-0.001'],
  [-1500, '-1.500'],
])('the time %s ms is written %s', (ms, text) => {
  expect(timestampText(ms)).toBe(text);
});

test.each([
  ['/api/v1/query?query=up&time=1000', { fromMs: 700_001, toMs: 1_000_000 }],
  [
    '/api/v1/query_range?query=rate(up%5B1m%5D%20offset%201m)&start=1000&end=2000&step=10',
    { fromMs: 880_001, toMs: 1_940_000 },
  ],
])('%s warns when what it reads is not complete', async (path, range) => {
  const asked: unknown[] = [];
  const completeness: PrometheusOptions['completeness'] = async (_, read) => {
    asked.push(read);
    return 'completeness: something is missing';
  };
  const { text } = await ask(path, undefined, appOf(fakeScan(), { completeness }));
  expect(JSON.parse(text).warnings).toEqual(['completeness: something is missing']);
  expect(asked).toEqual([{ ...range, site: undefined, gateway: undefined }]);
});

test('a query that reads nothing is not asked about, and one whose completeness is not known is answered', async () => {
  const completeness = () => Promise.reject(new Error('the table is away'));
  const app = appOf(fakeScan(), { completeness });
  expect(JSON.parse((await ask('/api/v1/query?query=1', undefined, app)).text).warnings).toBeUndefined();
  const { status, text } = await ask('/api/v1/query?query=up&time=2', undefined, app);
  expect(status).toBe(200);
  expect(JSON.parse(text).warnings).toEqual(['completeness: not known now']);
});
