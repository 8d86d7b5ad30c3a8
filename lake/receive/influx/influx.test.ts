import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { textsOf } from '../../model/text-column.ts';
import { deviceStreams } from '../logs/streams.ts';
import { createSeriesCache } from '../series-cache.ts';
import { LineError, parseLines } from './parse-line.ts';
import { type InfluxWrite, influxLimits, readInfluxLines } from './receive.ts';

const points = (text: string) =>
  [...parseLines(text)].map(({ measurement, tags, fields, timestamp }) => [
    measurement,
    Object.fromEntries(tags),
    Object.fromEntries(fields),
    timestamp,
  ]);

describe('lines', () => {
  test.each([
    ['m f=1', ['m', {}, { f: 1 }, undefined]],
    ['m,a=b,c=d f=1.5,g=-2e3 17', ['m', { a: 'b', c: 'd' }, { f: 1.5, g: -2000 }, 17n]],
    ['m f=.5,g=5.,h=+1', ['m', {}, { f: 0.5, g: 5, h: 1 }, undefined]],
    ['m f=-3i,g=7u -1', ['m', {}, { f: -3, g: 7 }, -1n]],
    ['m a=t,b=F,c=true,d=False,e=TRUE', ['m', {}, { a: 1, b: 0, c: 1, d: 0, e: 1 }, undefined]],
    ['m f="a \\"b\\" \\\\ \\n, =c"', ['m', {}, { f: 'a "b" \\ \\n, =c' }, undefined]],
    ['m f="two\nlines" 5', ['m', {}, { f: 'two\nlines' }, 5n]],
    ['m f=""', ['m', {}, { f: '' }, undefined]],
    [
      'my\\ m\\,x=1,t\\ a\\=g=v\\,\\ \\=w f\\ 1=1',
      ['my m,x=1', { 't a=g': 'v, =w' }, { 'f 1': 1 }, undefined],
    ],
    ['m,path=C:\\dir\\x f=1', ['m', { path: 'C:\\dir\\x' }, { f: 1 }, undefined]],
    ['\t m  f=1  9 ', ['m', {}, { f: 1 }, 9n]],
    ['m f=1 9\r', ['m', {}, { f: 1 }, 9n]],
    ['温度,場所=東京 値=1', ['温度', { 場所: '東京' }, { 値: 1 }, undefined]],
  ])('%j', (line, point) => {
    expect(points(line)).toEqual([point]);
    expect(points(`# comment\n\n${line}\n  # another\n${line}\n`)).toEqual([point, point]);
  });

  test.each([
    ['m', 'line 1: there are no fields'],
    ['m f=1\nm ', 'line 2: a field has no name'],
    [',a=b f=1', 'line 1: the measurement is missing'],
    ['m,a f=1', 'line 1: tag "a" has no value'],
    ['m,a= f=1', 'line 1: the value of tag "a" is empty'],
    ['m,=b f=1', 'line 1: a tag has no name'],
    ['m,a=b=c f=1', 'line 1: the value of tag "a" is not escaped'],
    ['m f', 'line 1: field "f" has no value'],
    ['m f=', 'line 1: field "f" has no value: write 1.5'],
    ['m f=1,', 'line 1: a field has no name'],
    ['m f=abc', 'line 1: field "f" has the value "abc"'],
    ['m f=NaN', 'line 1: field "f" has the value "NaN"'],
    ['m f=1e999', 'line 1: field "f" has the value "1e999"'],
    ['m f=0x10', 'line 1: field "f" has the value'],
    ['m f=9223372036854775808i', 'line 1: field "f" has the value "9223372036854775808i"'],
    ['m f=18446744073709551616u', 'line 1: field "f" has the value'],
    ['m f=-1u', 'line 1: field "f" has the value "-1u"'],
    ['m f="a', 'line 1: the string of field "f" has no end'],
    ['m f="a"b', 'line 1: there is "b" after a field'],
    ['m f=1 1.5', 'line 1: the timestamp "1.5"'],
    ['m f=1 12 13', 'line 1: the timestamp "12 13"'],
    ['a f="1\n2\n3" 1\n\nb', 'line 5: there are no fields'],
  ])('%j is refused', (text, message) => {
    expect(() => points(text)).toThrow(message);
  });

  test('parse(print(point)) = point', () => {
    const name = fc
      .string({ unit: 'grapheme', minLength: 1, maxLength: 8 })
      .filter((text) => /^[^\n\r\\"#\s]+$/.test(text));
    const escaped = (text: string): string => text.replaceAll(/[,= ]/g, '\\$&');
    const value = fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.string({ maxLength: 10 }));
    /** String(-0) is 0. */
    const numberText = (each: number): string => (Object.is(each, -0) ? '-0' : String(each));
    const printed = (each: number | string): string =>
      typeof each === 'number' ? numberText(each) : `"${each.replaceAll(/["\\]/g, '\\$&')}"`;
    const point = fc.record({
      measurement: name.filter((text) => !text.includes('=')),
      tags: fc.dictionary(name, name, { maxKeys: 3 }),
      fields: fc.dictionary(name, value, { minKeys: 1, maxKeys: 3 }),
      timestamp: fc.option(fc.bigInt({ min: -(2n ** 60n), max: 2n ** 60n }), { nil: undefined }),
    });
    fc.assert(
      fc.property(point, ({ measurement, tags, fields, timestamp }) => {
        const tagText = Object.entries(tags).map(([tag, text]) => `,${escaped(tag)}=${escaped(text)}`);
        const fieldText = Object.entries(fields).map(([field, each]) => `${escaped(field)}=${printed(each)}`);
        const line = `${escaped(measurement)}${tagText.join('')} ${fieldText.join(',')}${timestamp === undefined ? '' : ` ${timestamp}`}`;
        expect(points(line)).toEqual([[measurement, { ...tags }, { ...fields }, timestamp]]);
      }),
    );
  });
});

const receivedUs = 1_770_000_000_000_000;
const write: InfluxWrite = { unitNs: 1n, database: '', receivedUs };
const read = (text: string, change: Partial<InfluxWrite> = {}, cache = createSeriesCache({ identity: [] })) =>
  readInfluxLines(
    text,
    { ...write, ...change },
    {
      cache,
      streams: deviceStreams(cache),
      limits: influxLimits,
      ownTime: () => ({ trusted: true, floorUs: 0 }),
    },
  );
const labels = (batch: { series: readonly { labels: string }[] }) =>
  batch.series.map((entry) => entry.labels);

describe('columns', () => {
  test('numbers are samples, strings are log lines with their exact time', () => {
    const { metrics, logs } = read(
      'cpu,host=a,cpu-id=0 usage=1.5,value=2i,state="idle, now" 1769999999123456789',
      { database: 'telegraf' },
    );
    expect(labels(metrics)).toEqual([
      '{"__name__":"cpu_usage","cpu_id":"0","db":"telegraf","host":"a"}',
      '{"__name__":"cpu","cpu_id":"0","db":"telegraf","host":"a"}',
    ]);
    expect([...metrics.value]).toEqual([1.5, 2]);
    expect([...metrics.timestampUs]).toEqual([1769999999123456n, 1769999999123456n]);
    expect(labels(logs)).toEqual([
      '{"cpu_id":"0","db":"telegraf","field":"state","host":"a","measurement":"cpu","service_name":"cpu","source":"influx"}',
    ]);
    expect([textsOf(logs.line), [...logs.timestampNs]]).toEqual([['idle, now'], [1769999999123456789n]]);
  });

  test('the identity of the gateway, and what a sender has of the same name', () => {
    const identity = [['site', 'plant']] as const;
    const { metrics } = read('m,site=mine f=1', {}, createSeriesCache({ identity }));
    expect(labels(metrics)).toEqual(['{"__name__":"m_f","exported_site":"mine","site":"plant"}']);
  });

  test.each([
    ['s', 1_000_000_000n, '1769999999', 1_769_999_999_000_000n],
    ['ms', 1_000_000n, '1769999999123', 1_769_999_999_123_000n],
    ['no time', 1n, '', BigInt(receivedUs)],
  ])('precision %s', (_, unitNs, timestamp, expected) => {
    expect([...read(`m f=1 ${timestamp}`, { unitNs }).metrics.timestampUs]).toEqual([expected]);
  });

  test('a time that is not believable is the time of receipt', () => {
    const { metrics, logs } = read('m f=1,g="x" 9223372036854775807\nm f=1 0');
    expect(metrics.quality).toEqual(['device-future', 'device-past']);
    expect([...metrics.timestampUs]).toEqual([BigInt(receivedUs), BigInt(receivedUs)]);
    expect([...logs.timestampNs]).toEqual([BigInt(receivedUs) * 1000n]);
  });

  test.each([
    ['m,a-b=1,a_b=2 f=1', 'line 1: the tags "a-b" and "a_b" are both a_b'],
    ['m,__name__=x f=1', 'line 1: the tags "__name__" and "__name__" are both __name__'],
  ])('%s is refused', (text, message) => expect(() => read(text)).toThrow(message));

  test('mutated lines are read or refused with LineError', () => {
    const good = 'cpu,host=a\\ b,dc=x usage=1.5,n=2i,u=3u,ok=t,s="a \\"b\\"" 1769999999123456789\nmem f=1\n';
    const mutation = fc.tuple(
      fc.nat(good.length),
      fc.nat(5),
      fc.string({ unit: fc.constantFrom(...'m,=" \\\n\r#1iut.e-\u00e9\u0000'), maxLength: 4 }),
    );
    fc.assert(
      fc.property(fc.array(mutation, { minLength: 1, maxLength: 4 }), (mutations) => {
        const text = mutations.reduce(
          (all, [at, gone, put]) => all.slice(0, at) + put + all.slice(at + gone),
          good,
        );
        try {
          read(text);
        } catch (error) {
          expect(error).toBeInstanceOf(LineError);
        }
      }),
      { numRuns: 3000, seed: 4 },
    );
  });
});
