import { describe, expect, test } from 'vitest';
import { systemClock } from '../../lake/base/clock.ts';
import { labelLimits } from '../../lake/receive/label-limits.ts';
import { createSeriesCache } from '../../lake/receive/series-cache.ts';
import { createSeriesGuard } from '../../lake/receive/series-guard.ts';
import { loadScrapeConfigText } from './config-file.ts';
import { createScrapeMemory, type Scraped } from './scrape-memory.ts';
import { scrapeBatches } from './scrape-rows.ts';
import { targetsOf } from './targets.ts';

function memoryOf(settings = '', labels = '{}') {
  const yaml = `scrape_configs: [{job_name: j, static_configs: [{targets: [h], labels: ${labels}}]${settings && `, ${settings}`}}]`;
  const [config] = loadScrapeConfigText(yaml, 'test.yml').configs;
  const target = config && targetsOf(config, config.static_configs).targets[0];
  if (!target) throw new Error('no target');
  return createScrapeMemory(target, { identityNames: new Set(['site']), limits: labelLimits });
}

const brief = ({ rows }: Pick<Scraped, 'rows'>) =>
  rows.map(({ json, value, timestampMs }) => {
    const { __name__, instance, job, ...others } = JSON.parse(json) as Record<string, string>;
    return [__name__, others, value, timestampMs];
  });

describe('staleness', () => {
  test('a series that is gone has a marker once, and comes again', () => {
    const memory = memoryOf();
    expect(memory.read('a 1\nb{x="1"} 2\n', 'text', 1000)).toMatchObject({
      samplesScraped: 2,
      seriesAdded: 2,
    });
    const second = memory.read('a 1\n', 'text', 2000);
    expect(brief(second)).toEqual([
      ['a', {}, 1, 2000],
      ['b', { x: '1' }, 'stale', 2000],
    ]);
    expect(second).toMatchObject({ samplesScraped: 1, seriesAdded: 0 });
    expect(brief(memory.read('a 1\n', 'text', 3000))).toEqual([['a', {}, 1, 3000]]);
    expect(memory.read('a 1\nb{x="1"} 3\n', 'text', 4000).seriesAdded).toBe(1);
  });

  test('a scrape that fails, at any line, ends all series; the next one begins anew', () => {
    const memory = memoryOf();
    memory.read('a 1\nb 2\n', 'text', 1000);
    expect(() => memory.read('a 1\nc 3\nbroken\n', 'text', 2000)).toThrow('line 3');
    expect(brief({ rows: memory.end(2000) })).toEqual([
      ['a', {}, 'stale', 2000],
      ['b', {}, 'stale', 2000],
    ]);
    expect(memory.end(3000)).toEqual([]);
    expect(memory.read('a 1\nb 2\n', 'text', 4000).seriesAdded).toBe(2);
  });

  test('a series with its own time ends by itself, unless it is tracked', () => {
    const memory = memoryOf();
    expect(brief(memory.read('a 1 500\n', 'text', 1000))).toEqual([['a', {}, 1, 500]]);
    expect(memory.read('', 'text', 2000).rows).toEqual([]);
    for (const settings of ['track_timestamps_staleness: true', 'honor_timestamps: false']) {
      const tracking = memoryOf(settings);
      tracking.read('a 1 500\n', 'text', 1000);
      expect(brief(tracking.read('', 'text', 2000))).toEqual([['a', {}, 'stale', 2000]]);
    }
    expect(brief(memoryOf('honor_timestamps: false').read('a 1 500\n', 'text', 1000))).toEqual([
      ['a', {}, 1, 1000],
    ]);
  });

  test('what is gone for good is forgotten', () => {
    const memory = memoryOf();
    for (let turn = 0; turn < 20; turn++)
      memory.read(
        Array.from({ length: 500 }, (_, index) => `a{x="${turn}-${index}"} 1\n`).join(''),
        'text',
        turn,
      );
    expect(memory.live).toBe(500);
  });
});

describe('labels', () => {
  test.each([
    ['', '{x: t}', 'a{x="e",y="1",job="k"} 1', { x: 't', exported_x: 'e', y: '1', exported_job: 'k' }],
    ['', '{x: t, exported_x: u}', 'a{x="e"} 1', { x: 't', exported_x: 'u', exported_exported_x: 'e' }],
    ['', '{x: t}', 'a{x="e",exported_x="f"} 1', { x: 't', exported_x: 'f', exported_exported_x: 'e' }],
    ['honor_labels: true', '{x: t, z: t}', 'a{x="e",z=""} 1', { x: 'e' }],
    // Only the configuration may say which site it is.
    ['honor_labels: true', '{}', 'a{site="s"} 1', { exported_site: 's' }],
    ['', '{site: t}', 'a{site="s"} 1', { exported_site: 's', site: 't' }],
    [
      'metric_relabel_configs: [{regex: x, action: labeldrop}, {target_label: y, replacement: z}]',
      '{}',
      'a{x="1"} 1',
      { y: 'z' },
    ],
  ])('%s %s %s', (settings, labels, line, expected) => {
    const [row] = memoryOf(settings, labels).read(`${line}\n`, 'text', 1000).rows;
    const { __name__, instance, job, ...others } = JSON.parse(row?.json ?? '') as Record<string, string>;
    expect(others).toEqual(expected);
    expect([__name__, instance, job]).toEqual(['a', 'h', 'j']);
  });

  test('series that relabelling drops are counted as scraped only', () => {
    const memory = memoryOf(
      'metric_relabel_configs: [{source_labels: [__name__], regex: "go_.*", action: drop}], sample_limit: 1',
    );
    for (const atMs of [1000, 2000])
      expect(memory.read('go_x 1\na 1\ngo_y 1\n', 'text', atMs)).toMatchObject({
        ...{ samplesScraped: 3, samplesAfterRelabelling: 1 },
      });
  });

  test.each([
    ['sample_limit: 1', 'a 1\nb 1\n', 'sample_limit exceeded: more than 1 samples'],
    ['label_limit: 3', 'a{x="1"} 1\n', 'label_limit exceeded: a{x="1"} has 4 labels, at most 3'],
    [
      'label_name_length_limit: 9',
      'a{long_name_="1"} 1\n',
      'label_name_length_limit exceeded by "long_name_"',
    ],
    [
      'label_value_length_limit: 2',
      'a{x="123"} 1\n',
      'label_value_length_limit exceeded by the value of "x"',
    ],
    ['metric_relabel_configs: [{regex: __name__, action: labeldrop}]', 'a 1\n', 'without a metric name'],
    ['', 'a{x="1",x="2"} 1\n', 'label "x" is there twice'],
    ['', `a{x="${'v'.repeat(20_000)}"} 1\n`, 'the value of the label "x" is too long'],
  ])('%s: %s fails the scrape', (settings, text, message) => {
    expect(() => memoryOf(settings).read(text, 'text', 1000)).toThrow(message);
  });

  test('one series twice: the first stands; at different times both do', () => {
    expect(brief(memoryOf().read('a 1\na 2\n', 'text', 1000))).toEqual([['a', {}, 1, 1000]]);
    expect(memoryOf().read('a 1 5\na 2 6\n', 'text', 1000).rows).toHaveLength(2);
  });
});

test('OpenMetrics: since when series count, and exemplars, each once', () => {
  const memory = memoryOf();
  const text = `# TYPE r counter
r_total{s="x"} 5 # {trace_id="t1"} 0.5 7.5
r_created{s="x"} 3.5
r_total{s="y"} 6
# TYPE h histogram
h_bucket{le="1",s="x"} 1 # {trace_id="t2"} 0.5
h_count{s="x"} 1
h_created{s="x"} 4
# TYPE g gauge
g_created 5
# EOF
`;
  const { rows } = memory.read(text, 'openmetrics', 10_000);
  expect(rows.map(({ value, startMs }) => [value, startMs])).toEqual([
    [5, 3500],
    [3.5, undefined],
    [6, undefined],
    [1, 4000],
    [1, 4000],
    [4, undefined],
    [5, undefined],
  ]);
  expect(rows.flatMap(({ exemplar }) => exemplar ?? [])).toEqual([
    { labels: [['trace_id', 't1']], value: 0.5, timestampMs: 7500 },
    { labels: [['trace_id', 't2']], value: 0.5, timestampMs: 10_000 },
  ]);
  const again = memory.read(text.replace('t2', 't3'), 'openmetrics', 20_000);
  expect(again.rows.flatMap(({ exemplar }) => exemplar?.labels ?? [])).toEqual([['trace_id', 't3']]);
});

test('descriptions go along when they are new or changed', () => {
  const memory = memoryOf();
  const text = '# HELP a words\n# TYPE a counter\na 1\n';
  expect(memory.read(text, 'text', 1).metadata).toEqual([
    { name: 'a', type: 'counter', help: 'words', unit: '' },
  ]);
  expect(memory.read(text, 'text', 2).metadata).toEqual([]);
  expect(memory.read(text.replace('words', 'new'), 'text', 3).metadata).toHaveLength(1);
});

describe('rows', () => {
  const own = { trusted: true, floorUs: 0 };
  const atMs = 1_770_000_000_000;

  test('the staleness marker is bit for bit the one of Prometheus', () => {
    const memory = memoryOf();
    memory.read('a NaN\n', 'text', atMs - 1000);
    const { rows } = memory.read('b NaN\n', 'text', atMs);
    const { metrics } = scrapeBatches(rows, [], {
      cache: createSeriesCache({ identity: [['site', 'p']] }),
      own,
      atMs,
    });
    const bits = new BigUint64Array(metrics.value.buffer, metrics.value.byteOffset, metrics.rows);
    expect([...bits].map((value) => value.toString(16))).toEqual(['7ff8000000000000', '7ff0000000000002']);
    expect(metrics.series[0]?.labels).toBe('{"__name__":"b","instance":"h","job":"j","site":"p"}');
  });

  test('series beyond the guard are left out, the others go on', () => {
    const guard = createSeriesGuard(
      { activeSeriesMax: 1, newSeriesPerMinuteMax: 0 },
      systemClock.monotonicMs,
    );
    const { rows } = memoryOf().read('a 1\nb 1\n', 'text', atMs);
    const result = scrapeBatches(rows, [], { cache: createSeriesCache({ identity: [], guard }), own, atMs });
    expect(result).toMatchObject({ refused: 1, refusal: expect.stringContaining('activeSeriesMax') });
    expect(result.metrics.rows).toBe(1);
  });

  test('a time of its own that is not believable', () => {
    const { rows } = memoryOf().read(`a 1 5\na 1 ${atMs + 3_600_000}\na 1 ${atMs + 1000}\n`, 'text', atMs);
    const { metrics } = scrapeBatches(rows, [], { cache: createSeriesCache({ identity: [] }), own, atMs });
    expect(metrics.quality).toEqual(['device-past', 'device-future', null]);
  });
});
