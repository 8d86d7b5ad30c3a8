import { expect, test } from 'vitest';
import { parseLogExpr } from '../parse.ts';
import { compilePipeline } from './compile.ts';
import { createLabels, labelsAndErrors, type Row } from './row.ts';

// What stages make of a line, as Loki's do (grafana/loki 65e30f8), where its own cases leave it open.

const stream = { app: 'x', taken: 'stream' };

function run(stages: string, line: string): { kept: boolean; row: Row; labels: Record<string, string> } {
  const labels = createLabels(new Map(Object.entries(stream)), []);
  const row: Row = { line, timestampNs: 1_700_000_000_000_000_000n, labels };
  const kept = compilePipeline(parseLogExpr(`{app="x"} ${stages}`).stages)(row);
  const { app: _, taken: __, ...found } = Object.fromEntries(labelsAndErrors(labels));
  return { kept, row, labels: found };
}

const jsonError = (details: string) => ({ __error__: 'JSONParserErr', __error_details__: details });

test.each([
  // Blank names, numbers as they are written, commas behind the last field.
  ['| json', '{"a":{"":1}}', { a: '1' }],
  ['| json', '{"":"x","b":1}', { b: '1' }],
  ['| json', '{"a":12abc,}', { a: '12abc' }],
  ['| json', '{"a":"\\q","b":"\\ud83d"}', { a: '', b: '' }],
  ['| json', '', jsonError("Value looks like object, but can't find closing '}' symbol")],
  ['| json', '{', jsonError('Malformed JSON error')],
  ['| json', '{"a', jsonError('Malformed JSON error')],
  ['| json', '{"a":1', { a: '1', ...jsonError("Value is array, but can't find closing ']' symbol") }],
  [
    '| json',
    '{"a":1 2}',
    { a: '1', ...jsonError("Value looks like object, but can't find closing '}' symbol") },
  ],
  ['| json', '{"\\q":1}', jsonError('Encountered an invalid escape sequence in a string')],
  ['| json', '{"taken":1,"taken":2}', { taken_extracted: '1' }],
  // What was set before is not found again.
  ['| label_format a="set" | json', '{"a":1,"b":2}', { a: 'set', b: '2' }],
  ['| json a="b" | json', '{"a":1,"b":2}', { a: '2', b: '2' }],
  ['| json a="none", taken="none"', '{"b":2}', { a: '' }],
  ['| json a="b", taken="c"', '{"b":null,"c":[1,"\\t\\"q"]}', { a: '', taken_extracted: '[1,"\t"q"]' }],
  ['| json a="b"', ' {"b":1}', { __error__: 'JSONParserErr' }],
  // What is wrong with another value, or behind its own, does not matter; what is wrong with its own does.
  ['| json a="b"', '{"b":1', { a: '1' }],
  ['| json a="b"', '{"b":}', { a: '', ...jsonError('Unknown value type') }],
  ['| json a="b"', '{"b":tru}', { a: '', ...jsonError('Unknown value type') }],
  ['| json a="c"', '{"b":}', { a: '' }],
  ['| unpack', ' {"_entry":"x"}', jsonError('expecting json object(6), but it is not')],
  ['| unpack', '{"a":"1","a":"2","_entry":"x"}', { a: '2' }],
  ['| logfmt a="k"', 'k=1 k=2 other=3', { a: '2' }],
  ['| logfmt a="k"', '', { a: '' }],
  ['| logfmt --strict a="k"', 'k=1 b=" c=2', { a: '1', __error__: 'LogfmtParserErr' }],
  ['| regexp "(?P<1st>\\\\d+)"', 'a 12', { _1st: '12' }],
  // A template sees what there was before the first of them.
  ['| label_format a="1" | label_format a="2", b="{{.a}}"', '', { a: '2', b: '1' }],
  ['| label_format n=app | keep n', '', { n: 'x' }],
])('%s of %j', (stages, line, wanted) => {
  expect(run(stages, line).labels).toMatchObject(wanted);
  expect(
    Object.keys(run(stages, line).labels)
      .filter((name) => !name.startsWith('__'))
      .sort(),
  ).toEqual(
    Object.keys(wanted)
      .filter((name) => !name.startsWith('__'))
      .sort(),
  );
});

test.each([
  // A line with an error is compared where it can be.
  ['| json | a > 5', '{"a":1 2}', false],
  ['| json | a > 0', '{"a":1 2}', true],
  ['| json | b > 5', '{"b":"x"}', true],
  ['|> "order <_>"', 'an order came', true],
  ['|> "<_> order"', 'an order came', false],
  ['|= ip("10.0.0.0/8")', 'from 10.1.2.3:80', true],
  ['|= ip("10.0.0.0/8")', 'it was 10.1.2.3.', false],
  ['|= ip("10.0.0.1-10.0.0.9")', 'from 10.0.0.9 on', true],
  ['|= ip("2001:db8::/32")', '[2001:db8::1]:443', true],
  ['!= ip("10.0.0.1")', 'from 10.0.0.1', false],
])('%s keeps %j: %s', (stages, line, kept) => {
  expect(run(stages, line).kept).toBe(kept);
});

test.each([
  ['decolorize', '\u001b[1;31mred\u001b[0m \u001b]0;title\u0007plain', 'red plain'],
  ['line_format "{{ title `don\'t stop_it ok` }}"', '', "Don'T Stop_it Ok"],
  ['line_format "{{ round -2.3 0 }} {{ round 2.5 0 }} {{ round 2.71 1 0.9 }}"', '', '-3 3 2.7'],
  [
    'line_format "{{ b64dec `aGk` }} {{ b64dec `a` }} {{ b64dec `aG!k` }}"',
    '',
    'hi illegal base64 data at input byte 0 illegal base64 data at input byte 2',
  ],
  ['line_format "{{ toDate `2006-01-02` `yesterday` | unixEpoch }}"', '', '-62135596800'],
  ['line_format "{{ toDateInZone `2006-01-02` `No/Where` `2024-02-29` | unixEpoch }}"', '', '1709164800'],
  ['line_format "{{ toDate `2006-01-02` `2024-02-30` | unixEpoch }}"', '', '-62135596800'],
  ['line_format "{{ int `010` }} {{ int `08` }} {{ int `12.7` }} {{ int `0x1f` }}"', '', '8 0 12 31'],
  ['line_format "{{ default `none` (fromJson `[]`) }}"', '', 'none'],
  ['line_format "{{ urldecode `a%2Fb+c%C3%BC` }}"', '', 'a/b c\u00fc'],
  ['line_format "{{ __timestamp__ | date `2006-01-02T15:04:05` }}"', '', '2023-11-14T22:13:20'],
])('%s of %j is %j', (stage, line, wanted) => {
  expect(run(`| ${stage}`, line).row.line).toBe(wanted);
});

test.each([
  ['|= ip("10.0.0.300")', 'ip: invalid pattern: "10.0.0.300"'],
  ['|= ip("10.0.0.9-10.0.0.1")', 'ip: invalid pattern: "10.0.0.9-10.0.0.1"'],
  ['| label_format a="{{"', "invalid template for label 'a': template: label:1:"],
  [
    '| line_format "{{ nosuch . }}"',
    'invalid line template: template: line:1: function "nosuch" not defined',
  ],
])('%s is refused', (stages, message) => {
  expect(() => run(stages, '')).toThrow(message);
});
