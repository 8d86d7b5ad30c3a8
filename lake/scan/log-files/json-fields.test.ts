import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseLogExpr } from '../../logql/parse.ts';
import { emptyLabels } from '../../logql/pipeline/row.ts';
import { planPipeline } from '../../logql/plan.ts';
import { surelyFails } from './json-fields.ts';

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

test('a line that surely fails is one that the pipeline leaves out', () => {
  const left = { out: 0, in: 0 };
  fc.assert(
    fc.property(fc.constantFrom(...queries), line, ({ filter, tests, pipeline }, line) => {
      // Bytes around the line are none of it.
      const bytes = Buffer.from(`"status":1}${line}","level":"error"}`);
      const [start, end] = [11, 11 + Buffer.byteLength(line)];
      if (!tests.some((fails) => fails(bytes, start, end))) {
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
