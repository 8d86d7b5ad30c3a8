import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { temporaryFolder } from '../harness/firn.ts';
import { askRaw, bothAnswer, type LogSite, push, startLogSite } from '../harness/log-site.ts';

// Queries that are wrong, and queries beyond each of their limits: gateway and cloud say which, and where.

const folder = temporaryFolder();
const few = [
  ...['--logql-entries-max', '500', '--logql-series-max', '20', '--logql-bytes-max', '100000'],
  ...['--query-samples-max', '300'],
];
const lines = 400;
const startNs = BigInt(Date.now() - 60_000) * 1_000_000n;
const linesWith = (text: string, count = lines) =>
  Array.from(
    { length: count },
    (_, index) => [`${startNs + BigInt(index) * 1000n}`, `{"n":${index},"text":"${text}"}`] as const,
  );
let site: LogSite;
beforeAll(async () => {
  site = await startLogSite({ gateway: few, cloud: few, folder: folder.path });
  expect((await push(site, { app: 'long' }, linesWith('x'.repeat(300)))).status).toBe(204);
  // More than a thread looks at in a millisecond.
  expect((await push(site, { app: 'many' }, linesWith('x'.repeat(300), 20_000))).status).toBe(204);
  for (let n = 0; n < 25; n++) await push(site, { stream: `s${n}` }, [[`${startNs}`, 'one']]);
  expect((await push(site, { app: 'short' }, linesWith('x'))).status).toBe(204);
});
afterAll(async () => {
  await site?.[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

test('what there is', { timeout: 120_000 }, async () => {
  await bothAnswer(site, '{app="short"}', lines, { limit: '500' });
});

const api = '/loki/api/v1';
const queryRange = `${api}/query_range`;
const all = '{service_name=~".+"}';

describe.each([0, 1] as const)('%s', (place) => {
  test.each([
    ['lines of an answer', 'entriesMax', queryRange, { query: '{app="long"}', limit: '501' }],
    [
      'series of an answer',
      'seriesMax',
      queryRange,
      { query: 'count_over_time({stream=~".+"}[1h])', step: '3600' },
    ],
    [
      'samples held',
      'samplesMax',
      queryRange,
      { query: 'count_over_time({app="short"} |~ ".*" | drop none [1h])', step: '5' },
    ],
    ['bytes read', 'bytesMax', queryRange, { query: '{app="long"} | json | n < 0', limit: '10' }],
    ['streams whose labels are asked for', 'seriesMax', `${api}/labels`, {}],
    ['streams whose values are asked for', 'seriesMax', `${api}/label/stream/values`, {}],
    ['series', 'seriesMax', `${api}/series`, { 'match[]': all }],
    ['streams of stats', 'seriesMax', `${api}/index/stats`, { query: all }],
    ['streams of volumes', 'seriesMax', `${api}/index/volume`, { query: all }],
    ['streams of volumes by time', 'seriesMax', `${api}/index/volume_range`, { query: all, step: '60' }],
    ['streams whose labels are counted', 'seriesMax', `${api}/detected_labels`, {}],
    ['bytes read for fields', 'bytesMax', `${api}/detected_fields`, { query: '{app="long"} | json | n < 0' }],
    ['bytes read for patterns', 'bytesMax', `${api}/patterns`, { query: '{app="long"}' }],
  ])('a query beyond the limit of %s names %s', async (_, limit, path, parameters) => {
    const [status, text] = await askRaw(site.places[place], path, parameters as Record<string, string>);
    expect([status, text]).toEqual([400, expect.stringContaining(limit)]);
  });

  test.each([
    ['{app="x"', 'parse error at line 1, col 9: syntax error: unexpected $end'],
    ['{app="x"} | nope x{', 'parse error at line 1, col 18: syntax error: unexpected IDENTIFIER'],
    ['sum(rate({app="x"}[1m])', 'parse error at line 1, col 24: syntax error: unexpected $end'],
    ['{app="x"} |~ "("', `parse error : stage '|~ "("' : error parsing regexp: missing closing ): \`(\``],
    [
      '{app="x"} | regexp "(?P<a>"',
      'parse error : invalid regexp parser: error parsing regexp: missing closing )',
    ],
    [
      '{app="x"} | pattern "<a><b>"',
      "parse error : invalid pattern parser: found consecutive capture '<a><b>'",
    ],
    [
      '{app="x"} | line_format "{{"',
      'parse error : stage \'| line_format "{{"\' : invalid line template: template: line:1:',
    ],
    ['{app="x"} |= ip("1.2.3")', `parse error : stage '|= ip("1.2.3")' : ip: invalid pattern: "1.2.3"`],
    ['{app="x"} |= "a\n', 'parse error at line 1, col 14: literal not terminated'],
    ['{}', 'parse error : queries require at least one regexp or equality matcher'],
  ])('%j is answered in Loki’s words, as text', async (query, words) => {
    const [status, text] = await askRaw(site.places[place], queryRange, { query });
    expect(text.slice(0, words.length)).toBe(words);
    expect(status).toBe(400);
  });
});

// Last: both are started anew with no time to answer in.
test('a query beyond the time names timeoutMs', { timeout: 120_000 }, async () => {
  await site[Symbol.asyncDispose]();
  const short = ['--query-timeout-ms', '1'];
  site = await startLogSite({ gateway: short, cloud: short, folder: folder.path });
  const slow =
    'sum by (a) (count_over_time({app="many"} | json | line_format "{{.text}}" | regexp "(?P<a>x+)" [1h]))';
  for (const place of site.places)
    for (const [path, query] of [
      [queryRange, slow],
      [`${api}/patterns`, '{app="many"}'],
    ] as const) {
      const [status, text] = await askRaw(place, path, { query, step: '5' });
      expect([path, status, text]).toEqual([path, 504, expect.stringContaining('timeoutMs')]);
    }
});
