import { expect, test } from 'vitest';
import { parseExpr, parseLogExpr } from './parse.ts';
import { planPipeline } from './plan.ts';
import { printExpr } from './print.ts';

test.each([
  // Where the grammar has no precedence, Loki's parser goes on as long as it can.
  ['{a="b"} | x="1" or y="1", z="1"', '{a="b"} | ( x="1" or ( y="1" , z="1" ) )'],
  ['{a="b"} | x="1" y="1" or z="1"', '{a="b"} | ( x="1" , ( y="1" or z="1" ) )'],
  ['{a="b"} | x="1" or y="1" and z="1"', '{a="b"} | ( x="1" or ( y="1" , z="1" ) )'],
  ['{a="b"} | x="1" and y="1" or z="1"', '{a="b"} | ( ( x="1" , y="1" ) or z="1" )'],
  ['{a="b"} | json | bytes > 5KiB', '{a="b"} | json | bytes>5120B'],
  ['rate(({a="b"} | json | unwrap x)[5m] offset 1h)', 'rate({a="b"} | json | unwrap x[5m] offset 1h)'],
  ['SUM BY (a) (RATE({a="b"}[1m]))', 'sum by (a)(rate({a="b"}[1m]))'],
  ['1 + 2 * 3 ^ 2', '19'],
  ['sum(rate({a="b"}[1m])) > bool 1', '(sum(rate({a="b"}[1m])) > bool 1)'],
  ['{bool="x", on=~"y"}', '{bool="x", on=~"y"}'],
])('%s is %s', (query, printed) => expect(printExpr(parseExpr(query))).toBe(printed));

test.each([
  ['{a="b"', 'parse error at line 1, col 7: syntax error: unexpected $end, expecting } or ,'],
  ['{a}', 'parse error at line 1, col 3: syntax error: unexpected }, expecting = or =~ or !~ or !='],
  ['{a="b"}\n| | json', 'parse error at line 2, col 3: syntax error: unexpected |'],
  ['rate({a="b"}[5)', "parse error at line 0, col 13: missing closing ']' in duration"],
  ['sum({a="b"}[5m])', 'parse error at line 0, col 12: syntax error: unexpected RANGE'],
  ['{a=~"("}', 'parse error : error parsing regexp: missing closing ): `^(?s:()$`'],
  ['{}', /^parse error : queries require at least one regexp or equality matcher/],
  [
    '{a="b"} | regexp "("',
    'parse error : invalid regexp parser: error parsing regexp: missing closing ): `(`',
  ],
  ['{a="b"} | pattern "<a><b>"', "parse error : invalid pattern parser: found consecutive capture '<a><b>'"],
  ['sort(rate({a="b"}[1m])) by (a)', "parse error : sort and sort_desc doesn't allow grouping by "],
  [`${'('.repeat(500)}1${')'.repeat(500)}`, /more than 400 levels \(nestingMax\)/],
])('%s is refused', (query, message) => expect(() => parseExpr(query)).toThrow(message));

test.each([
  ['| label_format __error__=x', '__error__ cannot be formatted'],
  ['| line_format "{{ .x"', 'invalid line template: template: line:1: unclosed action'],
  ['| json a="["', 'cannot parse expression [[]: syntax error: unexpected $end, expecting STRING or INDEX'],
  ['|~ "("', 'error parsing regexp: missing closing ): `(`'],
  ['!= ip("1.2.3")', 'ip: invalid pattern: "1.2.3"'],
  ['|> "<a>"', 'named captures are not allowed'],
])('%s parses, and is refused by its stage when it is planned', (stage, message) => {
  const expr = parseLogExpr(`{a="b"} | json ${stage}`);
  expect(() => planPipeline(expr)).toThrow(`parse error : stage '${stage}' : ${message}`);
});
