import { expect, test } from 'vitest';
import { type Clock, systemClock } from '../base/clock.ts';
import { FirnError } from '../base/errors.ts';
import { canonicalLabels, type Labels } from '../model/labels.ts';
import { defaultLookbackMs, defaultQueryLimits, type QueryLimits } from './limits.ts';
import { memorySource } from './memory-source.ts';
import { instantQuery, parseQuery, type QueryResult, rangeQuery } from './query.ts';
import { bitsOf, type SeriesData, type SeriesSource, setStaleAt } from './source.ts';
import { printLabels } from './value.ts';

const labels = (pairs: Record<string, string>): Labels => canonicalLabels(Object.entries(pairs));

/** A sample a minute from 0 on; null for none, `stale` for the end of the series. */
function series(pairs: Record<string, string>, samples: readonly (number | 'stale' | null)[]): SeriesData {
  const kept = samples.flatMap((value, index) => (value === null ? [] : [{ value, timeMs: index * 60_000 }]));
  const values = Float64Array.from(kept, ({ value }) => (value === 'stale' ? 0 : value));
  kept.forEach(({ value }, index) => {
    if (value === 'stale') setStaleAt(bitsOf(values), index);
  });
  return { labels: labels(pairs), timestampsMs: Float64Array.from(kept, ({ timeMs }) => timeMs), values };
}

const plant = memorySource([
  series({ __name__: 'temperature', line: 'a', sensor: '1' }, [20, 21, 22, 23, 24, 25]),
  series({ __name__: 'temperature', line: 'a', sensor: '2' }, [30, 30, null, null, null, 36]),
  series({ __name__: 'temperature', line: 'b', sensor: '3' }, [5, 4, 'stale', null, null, null]),
  series({ __name__: 'parts_total', line: 'a' }, [0, 60, 120, 10, 70, 130]),
  series({ __name__: 'line_info', line: 'a', product: 'bolt' }, [1, 1, 1, 1, 1, 1]),
  series({ __name__: 'duration_bucket', le: '1' }, [10, 10, 10, 10, 10, 10]),
  series({ __name__: 'duration_bucket', le: '2' }, [30, 30, 30, 30, 30, 30]),
  series({ __name__: 'duration_bucket', le: '+Inf' }, [40, 40, 40, 40, 40, 40]),
]);

interface Change {
  readonly source?: SeriesSource;
  readonly clock?: Clock;
  readonly limits?: Partial<QueryLimits>;
  readonly signal?: AbortSignal;
}
const optionsOf = (change: Change) => ({
  source: change.source ?? plant,
  clock: change.clock ?? systemClock,
  lookbackMs: defaultLookbackMs,
  signal: change.signal ?? new AbortController().signal,
  limits: { ...defaultQueryLimits, ...change.limits },
});

async function ask(text: string, atMs = 300_000, change: Change = {}): Promise<QueryResult> {
  return instantQuery(parseQuery(text), atMs, optionsOf(change));
}

function lines({ data }: QueryResult): readonly string[] {
  switch (data.type) {
    case 'scalar':
    case 'string':
      return [String(data.value)];
    case 'vector':
      return data.samples.map(({ labels: of, value }) => `${printLabels(of)} ${value}`);
    case 'matrix':
      return data.series.map(
        ({ labels: of, timestampsMs, values }) =>
          `${printLabels(of)} ${[...values].map((value, index) => `${value}@${(timestampsMs[index] ?? 0) / 1000}`).join(' ')}`,
      );
  }
}

// Every value here is worked out by hand from the samples above; the query is asked at 5 minutes.
test.each([
  ['1 + 2 * 3', ['7']],
  ['"text"', ['text']],
  [
    'temperature',
    [
      '{__name__="temperature", line="a", sensor="1"} 25',
      '{__name__="temperature", line="a", sensor="2"} 36',
    ],
  ],
  [
    'temperature offset 4m',
    [
      '{__name__="temperature", line="a", sensor="1"} 21',
      '{__name__="temperature", line="a", sensor="2"} 30',
      '{__name__="temperature", line="b", sensor="3"} 4',
    ],
  ],
  // A sample exactly five minutes old is out, one that is older than a staleness marker too.
  [
    'temperature @ 180',
    [
      '{__name__="temperature", line="a", sensor="1"} 23',
      '{__name__="temperature", line="a", sensor="2"} 30',
    ],
  ],
  ['temperature{sensor=~"2|3"}[4m]', ['{__name__="temperature", line="a", sensor="2"} 36@300']],
  [
    'temperature{sensor!="2",line=~".+"}[5m]',
    [
      '{__name__="temperature", line="a", sensor="1"} 21@60 22@120 23@180 24@240 25@300',
      '{__name__="temperature", line="b", sensor="3"} 4@60',
    ],
  ],
  ['-temperature{sensor="1"}', ['{line="a", sensor="1"} -25']],
  ['temperature > 30', ['{__name__="temperature", line="a", sensor="2"} 36']],
  ['30 < bool temperature', ['{line="a", sensor="1"} 0', '{line="a", sensor="2"} 1']],
  ['sum(temperature)', ['{} 61']],
  ['avg by (line) (temperature)', ['{line="a"} 30.5']],
  ['max without (sensor) (temperature)', ['{line="a"} 36']],
  ['count(temperature) + on() group_left() vector(1)', ['{} 3']],
  ['stddev(temperature)', ['{} 5.5']],
  ['quantile(0.5, temperature)', ['{} 30.5']],
  ['topk(1, temperature)', ['{__name__="temperature", line="a", sensor="2"} 36']],
  ['count_values("is", temperature > bool 30)', ['{is="0"} 1', '{is="1"} 1']],
  ['group(temperature)', ['{} 1']],
  // In (60 s, 300 s] the counter restarts at 10 and gains 60 twice: 130 in 180 s, and as fast up to the border 60 s off.
  ['increase(parts_total[4m])', [`{line="a"} ${130 * (240 / 180)}`]],
  ['rate(parts_total[4m])', [`{line="a"} ${130 * (240 / 180 / 240)}`]],
  ['irate(parts_total[4m])', ['{line="a"} 1']],
  ['delta(temperature{sensor="1"}[4m])', ['{line="a", sensor="1"} 4']],
  ['resets(parts_total[10m])', ['{line="a"} 1']],
  ['changes(temperature{sensor="2"}[10m])', ['{line="a", sensor="2"} 1']],
  ['deriv(temperature{sensor="1"}[10m]) * 60', ['{line="a", sensor="1"} 1']],
  ['predict_linear(temperature{sensor="1"}[10m], 60)', ['{line="a", sensor="1"} 26']],
  ['avg_over_time(temperature{line="b"}[10m])', ['{line="b", sensor="3"} 4.5']],
  ['last_over_time(temperature{line="b"}[10m])', ['{__name__="temperature", line="b", sensor="3"} 4']],
  ['max_over_time(sum(temperature)[5m:1m])', ['{} 61']],
  ['absent(temperature{line="c", sensor=~".*"})', ['{line="c"} 1']],
  ['absent_over_time(temperature[5m])', []],
  [
    'temperature * on(line) group_left(product) line_info',
    ['{line="a", product="bolt", sensor="1"} 25', '{line="a", product="bolt", sensor="2"} 36'],
  ],
  [
    'temperature and on(line) line_info',
    [
      '{__name__="temperature", line="a", sensor="1"} 25',
      '{__name__="temperature", line="a", sensor="2"} 36',
    ],
  ],
  ['temperature unless on(line) line_info', []],
  ['vector(3) or temperature{sensor="1"}', ['{} 3', '{__name__="temperature", line="a", sensor="1"} 25']],
  [
    'label_replace(line_info, "p", "x-$1", "product", "b(.*)")',
    ['{__name__="line_info", line="a", p="x-olt", product="bolt"} 1'],
  ],
  [
    'label_join(line_info, "p", "/", "line", "product")',
    ['{__name__="line_info", line="a", p="a/bolt", product="bolt"} 1'],
  ],
  ['histogram_quantile(0.5, duration_bucket)', ['{} 1.5']],
  ['histogram_fraction(0, 1.5, duration_bucket)', ['{} 0.5']],
  ['timestamp(temperature{sensor="2"} @ 200)', ['{line="a", sensor="2"} 60']],
  ['hour(vector(7200.5))', ['{} 2']],
  ['clamp(temperature, 26, 30)', ['{line="a", sensor="1"} 26', '{line="a", sensor="2"} 30']],
  [
    'sort_desc(temperature)',
    [
      '{__name__="temperature", line="a", sensor="2"} 36',
      '{__name__="temperature", line="a", sensor="1"} 25',
    ],
  ],
  ['scalar(temperature)', ['NaN']],
])('%s', async (text, wanted) => {
  expect(lines(await ask(text))).toEqual(wanted);
});

test.each([
  ['temperature{line="b"}', ['{__name__="temperature", line="b", sensor="3"} 5@0 4@60']],
  ['sum(temperature) > 50', ['{} 55@0 55@60 52@120 53@180 54@240 61@300']],
  ['time()', ['{} 0@0 60@60 120@120 180@180 240@240 300@300']],
  [
    'line_info @ end()',
    ['{__name__="line_info", line="a", product="bolt"} 1@0 1@60 1@120 1@180 1@240 1@300'],
  ],
  ['sum_over_time(temperature{sensor="2"}[2m])', ['{line="a", sensor="2"} 30@0 60@60 30@120 36@300']],
  [
    'topk(1, temperature{line="b"} or temperature{sensor="1"})',
    ['{__name__="temperature", line="a", sensor="1"} 20@0 21@60 22@120 23@180 24@240 25@300'],
  ],
])('%s over a range', async (text, wanted) => {
  const times = { startMs: 0, endMs: 300_000, stepMs: 60_000 };
  expect(lines(await rangeQuery(parseQuery(text), times, optionsOf({})))).toEqual(wanted);
});

test.each([
  [
    'temperature + on(line) temperature',
    'many-to-many matching not allowed: matching labels must be unique on one side',
  ],
  [
    'temperature + on(line) line_info',
    'multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)',
  ],
  [
    'label_replace(temperature, "sensor", "", "", "")',
    'vector cannot contain metrics with the same labelset',
  ],
  ['topk(NaN, temperature)', 'Parameter value is NaN'],
  [
    'max_over_time(temperature[5m] anchored)',
    'anchored modifier can only be used with: changes, delta, increase, rate, resets - not with max_over_time',
  ],
])('%s is an execution error', async (text, message) => {
  await expect(ask(text)).rejects.toMatchObject({
    errorType: 'execution',
    message: expect.stringContaining(message),
  });
});

test('what the author should know comes with its position', async () => {
  const { warnings, infos } = await ask('rate(temperature[5m]) and quantile(2, temperature)');
  expect(warnings).toEqual(['PromQL warning: quantile value should be between 0 and 1, got 2 (1:36)']);
  expect(infos).toEqual([
    'PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "temperature" (1:6)',
  ]);
});

test('samplesMax counts what is read and what is computed', async () => {
  const tooMany = {
    errorType: 'execution',
    message: expect.stringMatching(
      /^query processing would load too many samples into memory in query execution \(samplesMax = \d+\); select fewer/,
    ),
  };
  const small = { limits: { samplesMax: 20 } };
  await expect(ask('temperature', 300_000, { limits: { samplesMax: 5 } })).rejects.toMatchObject(tooMany);
  expect(lines(await ask('sum(temperature)', 300_000, small))).toEqual(['{} 61']);
  const times = { startMs: 0, endMs: 300_000, stepMs: 1000 };
  await expect(rangeQuery(parseQuery('vector(1)'), times, optionsOf(small))).rejects.toMatchObject(tooMany);
  await expect(ask('sum_over_time(vector(1)[1y:1ms])', 300_000)).rejects.toMatchObject(tooMany);
});

test('stepsMax and seriesMax have their own errors', async () => {
  const times = { startMs: 0, endMs: 11_001, stepMs: 1 };
  expect((await rangeQuery(parseQuery('1'), { ...times, endMs: 11_000 }, optionsOf({}))).data).toMatchObject({
    series: [{ values: { length: 11_001 } }],
  });
  await expect(rangeQuery(parseQuery('1'), times, optionsOf({}))).rejects.toMatchObject({
    errorType: 'bad_data',
    message: expect.stringContaining('exceeded maximum resolution of 11,000 points per timeseries'),
  });
  const refusing: SeriesSource = {
    select: async ({ seriesMax }) => {
      const message = `more than ${seriesMax} series`;
      throw new FirnError({ code: 'limit', operation: 'read', subject: 'seriesMax', message });
    },
  };
  await expect(ask('a', 0, { source: refusing, limits: { seriesMax: 7 } })).rejects.toMatchObject({
    errorType: 'execution',
    message: 'more than 7 series',
  });
});

test('a query ends when its time is up, in a scan and in evaluation', async () => {
  const waiting: SeriesSource = {
    select: (_selection, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(new Error('interrupted')));
      }),
  };
  const timedOut = {
    errorType: 'timeout',
    message: expect.stringMatching(
      /^query timed out in expression evaluation \(timeoutMs = [25]0\); select fewer series, a shorter range/,
    ),
  };
  await expect(ask('a', 0, { source: waiting, limits: { timeoutMs: 20 } })).rejects.toMatchObject(timedOut);
  const heavy = 'max_over_time((stddev_over_time(vector(1)[10h:1s]))[1h:1s])';
  await expect(ask(heavy, 0, { limits: { timeoutMs: 50 } })).rejects.toMatchObject(timedOut);
});

test('a query ends when its client is gone, and lets others run meanwhile', async () => {
  const gone = new AbortController();
  const times = { startMs: 0, endMs: 10_000_000, stepMs: 1000 };
  let turns = 0;
  const others = setInterval(() => {
    if (++turns === 3) gone.abort(new Error('client is gone'));
  }, 1);
  // Enough series for far more than three turns.
  const many = memorySource(
    Array.from({ length: 3000 }, (_, index) => series({ __name__: 'a', index: String(index) }, [1, 2, 3])),
  );
  const query = rangeQuery(
    parseQuery('sum(rate(a[1h])) + count(a) + sum(a)'),
    times,
    optionsOf({ source: many, signal: gone.signal }),
  );
  await expect(query).rejects.toMatchObject({
    errorType: 'canceled',
    message: 'query was canceled in expression evaluation',
  });
  clearInterval(others);
  expect(turns).toBeGreaterThanOrEqual(3);
});

test('the scan of a range query is read once for all its steps', async () => {
  let selections = 0;
  const counting: SeriesSource = {
    select: (selection, signal) => {
      selections++;
      return plant.select(selection, signal);
    },
  };
  const times = { startMs: 0, endMs: 300_000, stepMs: 1000 };
  const query = parseQuery(
    'rate(parts_total[1m]) / rate(parts_total[5m]) > on() group_left() sum(temperature)',
  );
  await rangeQuery(query, times, optionsOf({ source: counting }));
  expect(selections).toBe(2);
});
