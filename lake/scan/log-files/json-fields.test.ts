import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseLogExpr } from '../../logql/parse.ts';
import { emptyLabels } from '../../logql/pipeline/row.ts';
import { planPipeline } from '../../logql/plan.ts';
import { surelyFails } from './json-fields.ts';
import { plainEntries } from './text-page.ts';

// What is left out by the bytes of a line is what the whole pipeline leaves out, too. The other way need not hold.

const queries = [
  'status >= 500',
  'status != 200',
  'status < 300 | level = "error"',
  'level = "error"',
  'level = "error" | status == 500',
].map((filter) => {
  const { fields, pipeline } = planPipeline(parseLogExpr(`{app="x"} | json | ${filter}`));
  return { filter, tests: fields.map(surelyFails), pipeline };
});

const never = { filter: '', tests: [], pipeline: undefined };

const name = fc.constantFrom('status', 'level', 'a', 'status ', 'sta\\u0074us', '', 'x.y', 'ü', '!');
const number = fc.oneof(
  fc.integer({ min: 100, max: 600 }).map(String),
  fc.constantFrom('-1', '5e2', '500.0', '0500', '5.', '-', '1e999', '9007199254740993', '1-2', '+5', '.5'),
);
const text = fc
  .constantFrom('error', 'info', '500', '', 'er\\u0072or', 'a\\"b', 'a\\', 'tab\t', 'ü', '\u0000')
  .map((value) => `"${value}"`);
const blank = fc.constantFrom('', '', '', ' ', '\t', '\n');
const { object } = fc.letrec<{ object: string; value: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    number,
    text,
    fc.constantFrom('true', 'false', 'null', 'nul', '[1]', '["status"]', ''),
    tie('object'),
  ),
  object: fc
    .array(fc.tuple(blank, name, blank, tie('value'), blank), { maxLength: 4 })
    .map((fields) => `{${fields.map(([a, key, b, value, c]) => `${a}"${key}"${b}:${value}${c}`).join(',')}}`),
}));
/** Mostly right; some with a byte that is gone or more behind the end. */
const line = fc
  .tuple(object, fc.option(fc.nat()), fc.constantFrom('', '', '', ' ', '}', 'x'))
  .map(([json, gone, rest]) => {
    const at = gone === null ? json.length : gone % json.length;
    return `${json.slice(0, at)}${json.slice(at + 1)}${rest}`;
  });

function entriesOf(lines: readonly string[]) {
  const texts = lines.map((line) => Buffer.from(line));
  const lengths = texts.map(({ byteLength }) => Buffer.from(Uint32Array.of(byteLength).buffer));
  return plainEntries(
    'page',
    Buffer.concat(texts.flatMap((text, at) => [lengths[at] ?? text, text])),
    lines.length,
  );
}

test('lines of a page are tested alike in each order, one after another', () => {
  const right = fc.oneof(
    line,
    fc.constantFrom('{"status":500}', '{"status":200,"level":"status"}', '{"level":"error"}'),
  );
  fc.assert(
    fc.property(
      fc.constantFrom(...queries),
      fc.array(right, { maxLength: 6 }),
      fc.nat(),
      ({ tests }, lines, seed) => {
        const entries = entriesOf(lines);
        const order = lines.map((_, at) => at).sort((a, b) => ((a * 7 + seed) % 5) - ((b * 7 + seed) % 5));
        for (const fails of tests) {
          fails(entries);
          const together = fails(entries);
          const ofAll = order.map((at) => together(at));
          expect(ofAll).toEqual(order.map((at) => fails(entriesOf([lines[at] ?? '']))(0)));
        }
      },
    ),
    { numRuns: 2000 },
  );
});

test('a line that surely fails is one that the pipeline leaves out', () => {
  const left = { out: 0, in: 0 };
  fc.assert(
    fc.property(fc.constantFrom(...queries), line, ({ filter, tests, pipeline }, line) => {
      // What other lines of a page have is none of it.
      const entries = entriesOf([
        '{"status":500,"level":"error"}',
        '"status":1}',
        line,
        '","level":"error"}',
      ]);
      const failed = tests.some((fails) => fails(entries)(2));
      // The second time it is known which texts are flat.
      expect(tests.some((fails) => fails(entries)(2))).toBe(failed);
      if (!failed) {
        left.in++;
        return;
      }
      left.out++;
      const passes = pipeline?.({ line, timestampNs: 0n, labels: emptyLabels() });
      expect(passes, `${filter}: ${line}`).toBe(false);
    }),
    {
      numRuns: 20_000,
      examples: [
        [queries[0] ?? never, '{"":{"status":500}}'],
        [queries[0] ?? never, '{"status":500,"status":200}'],
      ],
    },
  );
  expect(left.out).toBeGreaterThan(1000);
  expect(left.in).toBeGreaterThan(1000);
});
