import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sharedFolder } from '../../../test/harness/programs.ts';
import { ExpositionError, type ExpositionFormat } from './cursor.ts';
import { openMetricsFloat, parseFloat64 } from './float.ts';
import { parseExposition } from './parse.ts';
import { labelsOfSeries } from './read-series.ts';

type Row = readonly unknown[];

function parse(text: string, format: ExpositionFormat): Row[] {
  const rows: Row[] = [];
  parseExposition(text, format, {
    sample: (series, { value, timestampMs, exemplar }, type) => {
      const labels = Object.fromEntries(labelsOfSeries(series, format, type));
      const { __name__: name, ...others } = labels;
      const rest = exemplar && [Object.fromEntries(exemplar.labels), exemplar.value, exemplar.timestampMs];
      rows.push([
        name,
        others,
        value,
        ...(timestampMs === undefined && !rest ? [] : [timestampMs]),
        ...(rest ? [rest] : []),
      ]);
    },
    describe: (family, field, words) => rows.push([field, family, words]),
  });
  return rows;
}

describe('the text format', () => {
  test.each<[string, Row[]]>([
    ['', []],
    ['\n\n \t\n', []],
    ['a 1', [['a', {}, 1]]],
    ['a 1\n', [['a', {}, 1]]],
    [
      'a 1\r\nb 2\r\n',
      [
        ['a', {}, 1],
        ['b', {}, 2],
      ],
    ],
    ['  a\t1  1395066363000 \n', [['a', {}, 1, 1395066363000]]],
    ['a{} 1', [['a', {}, 1]]],
    ['a{}1', [['a', {}, 1]]],
    ['a { b = "c" , d="e" , } 1', [['a', { b: 'c', d: 'e' }, 1]]],
    ['a{b="c" d="e"} 1', [['a', { b: 'c', d: 'e' }, 1]]],
    ['a{b=""} 1', [['a', { b: '' }, 1]]],
    ['a{b="x\\"y\\\\z\\nw\\q"} 1', [['a', { b: 'x"y\\z\nw\\q' }, 1]]],
    ['a{b="} # {"} 1', [['a', { b: '} # {' }, 1]]],
    ['a:b_c{_d="é語"} 1', [['a:b_c', { _d: 'é語' }, 1]]],
    [
      '{"http.status",q="0.9","strange \\"name\\""="6"} 8e-05',
      [['http.status', { q: '0.9', 'strange "name"': '6' }, 8e-5]],
    ],
    ['{q="0.9","http.status"} 1', [['http.status', { q: '0.9' }, 1]]],
    [
      'a +1.5e3\na .5\na 5.\na -0',
      [
        ['a', {}, 1500],
        ['a', {}, 0.5],
        ['a', {}, 5],
        ['a', {}, -0],
      ],
    ],
    [
      'a Inf\na -inf\na +INFINITY\na nan',
      [
        ['a', {}, Infinity],
        ['a', {}, -Infinity],
        ['a', {}, Infinity],
        ['a', {}, Number.NaN],
      ],
    ],
    ['# a comment\n#another\n# HELPER x\n#HELP x y\na 1', [['a', {}, 1]]],
    ['# HELP a two  words\\n\\\\ \\"q\\"', [['help', 'a', 'two  words\n\\ \\"q\\"']]],
    [
      '#\tTYPE\ta counter\n# HELP a\n# HELP b ',
      [
        ['type', 'a', 'counter'],
        ['help', 'a', ''],
        ['help', 'b', ''],
      ],
    ],
    [
      '# TYPE a untyped\n# TYPE "b.c" gauge',
      [
        ['type', 'a', 'unknown'],
        ['type', 'b.c', 'gauge'],
      ],
    ],
    [
      '# TYPE h histogram\nh_bucket{le="1"} 1\nh_bucket{le="+Inf"} 2\nother{le="1"} 3',
      [
        ['type', 'h', 'histogram'],
        ['h_bucket', { le: '1.0' }, 1],
        ['h_bucket', { le: '+Inf' }, 2],
        ['other', { le: '1.0' }, 3],
      ],
    ],
    [
      '# TYPE s summary\ns{quantile="0"} 1\ns{quantile="x",le="1"} 1',
      [
        ['type', 's', 'summary'],
        ['s', { quantile: '0.0' }, 1],
        ['s', { quantile: 'x', le: '1' }, 1],
      ],
    ],
    // It is no exemplar in this format.
    ['# EOF\na 1', [['a', {}, 1]]],
  ])('%j', (text, rows) => expect(parse(text, 'text')).toEqual(rows));

  test.each([
    ['a', 'line 1, column 2: a value was expected, not the end of the line'],
    ['\n\na', 'line 3, column 2: a value was expected'],
    ['a 1 x', 'line 1, column 5: a timestamp in whole milliseconds was expected, not "x"'],
    ['a 1 -5', 'a timestamp in whole milliseconds'],
    ['a 1 1.5', 'a timestamp in whole milliseconds'],
    ['a 1 2 3', 'the end of the line was expected, not "3"'],
    ["a{b='c'} 1", 'a value in quotes was expected for label b'],
    ['a{b=\n', 'a value in quotes was expected for label b, not the end of the line'],
    ['a{b="c', 'a text in quotes has no end'],
    ['a{b="\nc"} 1', 'a text in quotes has no end'],
    ['a{="c"} 1', 'a label name was expected, not "=\\"c\\"} 1"'],
    ['a{,b="c"} 1', 'a label name was expected'],
    ['a{b="c",,d="e"} 1', 'a label name was expected'],
    ['a{é="c"} 1', 'a label name was expected'],
    ['a{"b"} 1', 'the metric name is there twice'],
    ['{"a","b = "c"}', 'the metric name is there twice'],
    ['{"a",b\\nc="d"} 1', '"=" was expected after label b'],
    ['{A}0', '"=" was expected after label A'],
    ['{b="c"} 1', 'the series has no metric name'],
    ['9 1', 'a series was expected, not "9 1"'],
    ['é 1', 'a series was expected'],
    ['a true', 'a value was expected, not "true"'],
    ['a 1_2', 'a value was expected'],
    ['a 0x1p-3', 'a value was expected'],
    ['a 0x10', 'a value was expected'],
    ['a 1e999', 'a value was expected'],
    ['a +nan', 'a value was expected'],
    ['a ,', 'a value was expected'],
    ['a 1 # {b="c"} 1', 'a timestamp in whole milliseconds was expected'],
    ['# TYPE a bananas', '"bananas" is no metric type: one of counter, gauge, histogram'],
    ['# TYPE a', 'is no metric type'],
    ['# TYPE a info', 'is no metric type'],
    ['# TYPE #', 'a metric name was expected after TYPE'],
    ['# HELP 9', 'a metric name was expected after HELP'],
    ['# HELP a{b="c"} x', 'a text was expected after HELP a'],
  ])('%j is refused', (text, message) => {
    expect(() => parse(text, 'text')).toThrow(ExpositionError);
    expect(() => parse(text, 'text')).toThrow(message);
  });
});

describe('OpenMetrics', () => {
  test.each<[string, Row[]]>([
    ['# EOF', []],
    ['# EOF\n', []],
    ['a 1\n# EOF\n', [['a', {}, 1]]],
    ['a 1 1520879607.789\n# EOF', [['a', {}, 1, 1520879607789]]],
    [
      'a 1 -1.5\na 1 1e3\n# EOF',
      [
        ['a', {}, 1, -1500],
        ['a', {}, 1, 1000000],
      ],
    ],
    ['a{b="c",} 1\n# EOF', [['a', { b: 'c' }, 1]]],
    ['{"a b",c="d"} 1\n# EOF', [['a b', { c: 'd' }, 1]]],
    ['a_total 1 # {t="x"} 4\n# EOF', [['a_total', {}, 1, undefined, [{ t: 'x' }, 4, undefined]]]],
    [
      'a_total 1 2 # {t="x",u="\\"# "} 4 1.5\n# EOF',
      [['a_total', {}, 1, 2000, [{ t: 'x', u: '"# ' }, 4, 1500]]],
    ],
    ['a_total 1 # {} 4\n# EOF', [['a_total', {}, 1, undefined, [{}, 4, undefined]]]],
    [
      'a_total 1 # {"id.thing"="x",} 4\n# EOF',
      [['a_total', {}, 1, undefined, [{ 'id.thing': 'x' }, 4, undefined]]],
    ],
    [
      'a NaN\na +Inf\n# EOF',
      [
        ['a', {}, Number.NaN],
        ['a', {}, Infinity],
      ],
    ],
    [
      '# HELP a say \\"x\\"\\n\\\\\n# TYPE a info\n# HELP b \n# EOF',
      [
        ['help', 'a', 'say "x"\n\\'],
        ['type', 'a', 'info'],
        ['help', 'b', ''],
      ],
    ],
    [
      '# UNIT a_seconds seconds\n# UNIT a \n# UNIT "x y_s" s\n# EOF',
      [
        ['unit', 'a_seconds', 'seconds'],
        ['unit', 'a', ''],
        ['unit', 'x y_s', 's'],
      ],
    ],
    [
      '# TYPE h gaugehistogram\nh_bucket{le="1"} 1\n# EOF',
      [
        ['type', 'h', 'gaugehistogram'],
        ['h_bucket', { le: '1' }, 1],
      ],
    ],
    ['null{a="abc\u0000"} 1\n# EOF', [['null', { a: 'abc\u0000' }, 1]]],
  ])('%j', (text, rows) => expect(parse(text, 'openmetrics')).toEqual(rows));

  test.each([
    ['', 'does not end with # EOF'],
    ['a 1\n', 'does not end with # EOF'],
    ['a 1', 'the end of the line was expected'],
    ['a', 'one space and a value were expected'],
    ['\n# EOF', 'a series was expected'],
    [' a 1\n# EOF', 'a series was expected'],
    ['9\n# EOF', 'a series was expected'],
    ['# TYPE u untyped\n# EOF', '"untyped" is no metric type'],
    ['# TYPE c counter \n# EOF', '"counter " is no metric type'],
    ['# TYPE c  counter\n# EOF', '" counter" is no metric type'],
    ['#  TYPE c counter\n# EOF', '# HELP, # TYPE, # UNIT or # EOF was expected'],
    ['#\tTYPE c counter\n# EOF', 'was expected'],
    ['# a comment\n# EOF', 'was expected'],
    ['# TYPE \n# EOF', 'a metric name was expected after TYPE'],
    ['# TYPE m\n# EOF', 'a text was expected after TYPE m'],
    ['# UNIT metric suffix\n# EOF', 'unit "suffix" is not the end of the metric name metric'],
    ['# UNIT metricsuffix suffix\n# EOF', 'unit "suffix" is not the end'],
    ['# UNIT m\n# EOF', 'a text was expected after UNIT m'],
    ['# HELP m\n# EOF', 'a text was expected after HELP m'],
    ['a\t1\n# EOF', 'one space and a value were expected'],
    ['a  1\n# EOF', 'a value was expected'],
    ['a 1\t2\n# EOF', 'a value was expected, not "1\\t2"'],
    ['a 1 2 \n# EOF', 'the end of the line was expected'],
    ['a 1 2 #\n# EOF', 'the end of the line was expected'],
    ['a 1 1z\n# EOF', 'a timestamp in seconds was expected, not "1z"'],
    ['a 1 1 1\n# EOF', 'the end of the line was expected, not " 1"'],
    [' # EOF\n', 'a series was expected'],
    ['# EOF\na 1', 'nothing was expected after # EOF'],
    ['# EOF\n\n', 'nothing was expected after # EOF'],
    ['# EOFa 1', 'nothing was expected after # EOF'],
    ["a{b='c'} 1\n# EOF", 'a value in quotes was expected'],
    ['a{,b="c"} 1\n# EOF', 'a label name was expected'],
    ['a{b="c"d="e"} 1\n# EOF', '"," or "}" was expected after a label'],
    ['a{b="c",,d="e"} 1\n# EOF', 'a label name was expected'],
    ['a{b="c", d="e"} 1\n# EOF', 'a label name was expected, not " d='],
    ['a{b=\n# EOF', 'a value in quotes was expected'],
    ['a {b="c"} 1\n# EOF', 'a value was expected'],
    ['{"a","b"} 1\n# EOF', 'the metric name is there twice'],
    ['{b="c",} 1\n# EOF', 'the series has no metric name'],
    ['a true\n# EOF', 'a value was expected'],
    ['a 1_2\n# EOF', 'a value was expected'],
    ['a 0x1P-3\n# EOF', 'a value was expected'],
    ['a 0 1_2\n# EOF', 'a timestamp in seconds was expected'],
    ['a 1 NaN\n# EOF', 'a timestamp in seconds was expected, not "NaN"'],
    ['a 1 -Inf\n# EOF', 'a timestamp in seconds was expected'],
    ['a_total 1 # {aa=bb} 1\n# EOF', 'a value in quotes was expected for label aa'],
    ['a_total 1 # {aa="bb"}\n# EOF', 'one space and a value of the exemplar were expected'],
    ['a_total 1 # {bb} 1\n# EOF', '"=" was expected after label bb'],
    ['a_total 1 # {"bb"} 1\n# EOF', '"=" was expected after label bb'],
    ['a_total 1 # {aa="bb",,cc="dd"} 1\n# EOF', 'a label name was expected'],
    ['a_total 1 # {aa="bb"} 1_2\n# EOF', 'a value of the exemplar was expected'],
    ['a_total 1 # {aa="bb"} true\n# EOF', 'a value of the exemplar was expected'],
    ['a_total 1 # {aa="bb"} 4 NaN\n# EOF', 'a timestamp in seconds was expected'],
    ['a_total 1 # {aa="bb"} 4 1 1\n# EOF', 'the end of the line was expected'],
    ['a_total 1 # x\n# EOF', 'the end of the line was expected'],
  ])('%j is refused', (text, message) => {
    expect(() => parse(text, 'openmetrics')).toThrow(ExpositionError);
    expect(() => parse(text, 'openmetrics')).toThrow(message);
  });
});

test.each([
  [0, '0.0'],
  [-0, '-0.0'],
  [1, '1.0'],
  [0.25, '0.25'],
  [1e20, '100000000000000000000.0'],
  [1e21, '1e+21'],
  [1e-4, '0.0001'],
  [1.5e-5, '1.5e-05'],
  [5e-324, '5e-324'],
  [Infinity, '+Inf'],
  [Number.NaN, 'NaN'],
])('%d as a bound is %s', (value, text) => {
  expect(openMetricsFloat(value)).toBe(text);
  expect(parseFloat64(text)).toBe(value);
});

test('any label set: parse(print(x)) = x', () => {
  const name = fc.oneof(
    fc.stringMatching(/^[a-zA-Z_][a-zA-Z0-9_]{0,9}$/),
    fc.string({ unit: 'grapheme', minLength: 1, maxLength: 6 }),
  );
  const print = (text: string): string =>
    `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`;
  const labels = fc.dictionary(name, fc.string({ unit: 'grapheme', maxLength: 8 }), { maxKeys: 4 });
  fc.assert(
    fc.property(name, labels, fc.double({ noDefaultInfinity: true }), (metric, pairs, value) => {
      const given = Object.entries(pairs).map(([label, text]) => `${print(label)}=${print(text)}`);
      const line = `{${[print(metric), ...given].join(',')}} ${Object.is(value, -0) ? '-0' : value}\n`;
      for (const format of ['text', 'openmetrics'] as const) {
        const rows = parse(format === 'text' ? line : `${line}# EOF\n`, format);
        const { __name__: _, ...others } = pairs;
        if (!('__name__' in pairs)) expect(rows).toEqual([[metric, { ...others }, value]]);
      }
    }),
  );
});

const corpus = sharedFolder && join(sharedFolder, 'corpora', 'wire', 'openmetrics');

test.skipIf(!corpus || !existsSync(corpus))(
  'real expositions (skipped where the corpus is not there)',
  () => {
    const read = (file: string, format: ExpositionFormat): Row[] =>
      parse(readFileSync(join(corpus ?? '', file), 'utf8'), format);
    const samples = (rows: Row[]): Row[] =>
      rows.filter(([first]) => !['type', 'help', 'unit'].includes(String(first)));
    const five = read('alltypes.5mfs.om.txt', 'openmetrics');
    expect(samples(five).filter((row) => Array.isArray(row[4]))).toHaveLength(6);
    expect(five).toContainEqual(['type', 'rpc_requests', 'counter']);
    const many = read('alltypes.237mfs.prom.txt', 'text');
    expect(many.filter(([first]) => first === 'type')).toHaveLength(237);
    expect(samples(many).length).toBeGreaterThan(1500);
    expect(samples(read('1histogram.om.txt', 'openmetrics'))).toHaveLength(42);
  },
);

const good = {
  text: '# HELP a b\\n\n# TYPE h histogram\nh_bucket{le="1",x="é"} 1 17\n{"a.b",c="d"} NaN\nx 1e3\n',
  openmetrics:
    '# TYPE h_s histogram\n# UNIT h_s s\nh_s_bucket{le="1",x="é"} 1 17.5 # {t="x"} 1 2\nh_s_created 5\n{"a.b",c="d"} NaN\n# EOF\n',
};

test.each(['text', 'openmetrics'] as const)(
  'mutated %s is read, or refused with ExpositionError',
  (format) => {
    const unit = fc.constantFrom(...' \n\r\t{}=",#\\1e.+-NaInfEOFéx_:\u0000');
    const mutation = fc.tuple(fc.nat(good[format].length), fc.nat(6), fc.string({ unit, maxLength: 5 }));
    fc.assert(
      fc.property(fc.array(mutation, { minLength: 1, maxLength: 4 }), (mutations) => {
        const text = mutations.reduce(
          (all, [at, gone, put]) => all.slice(0, at) + put + all.slice(at + gone),
          good[format],
        );
        try {
          parse(text, format);
        } catch (error) {
          expect(error).toBeInstanceOf(ExpositionError);
        }
      }),
      { numRuns: 3000, seed: 4 },
    );
  },
);
