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
  ['rate(({a="b"} | json | unwrap x)[5m] offset 1h)', 'rate({a="b"} | json | unwrap x[5m] offset 1h0m0s)'],
  ['SUM BY (a) (RATE({a="b"}[1m]))', 'sum by (a)(rate({a="b"}[1m]))'],
  ['1 + 2 * 3 ^ 2', '19'],
  ['sum(rate({a="b"}[1m])) > bool 1', '(sum(rate({a="b"}[1m])) > bool 1)'],
  ['{bool="x", on=~"y"}', '{bool="x", on=~"y"}'],
  ['{a="b"} | x > 5KB and y > 1_000', '{a="b"} | ( x>5.0kB , y>1000 )'],
  ['sum by () (rate({a="b"}[1m]))', 'sum(rate({a="b"}[1m]))'],
  [
    'rate({a="b"}[1m]) + on(a) group_left rate({a="b"}[1m])',
    '(rate({a="b"}[1m]) + on (a) group_left rate({a="b"}[1m]))',
  ],
  ['rate({a="b"}[1m]) + on(a) 5', '(rate({a="b"}[1m]) + on (a)  5)'],
  ['{a="b"} // comment', '{a="b"}'],
  ['{a="b"} /* comment */ |= "x" # comment', '{a="b"} |= "x"'],
])('%s is %s', (query, printed) => expect(printExpr(parseExpr(query))).toBe(printed));

test.each([
  ['{a="b"', 'parse error at line 1, col 7: syntax error: unexpected $end, expecting } or ,'],
  ['{a}', 'parse error at line 1, col 3: syntax error: unexpected }, expecting = or =~ or !~ or !='],
  ['{a="b"}\n| | json', 'parse error at line 2, col 3: syntax error: unexpected |'],
  ['rate({a="b"}[5)', "parse error at line 0, col 13: missing closing ']' in duration"],
  ['sum({a="b"}[5m])', 'parse error at line 0, col 12: syntax error: unexpected RANGE'],
  ['{a=~"("}', 'parse error : error parsing regexp: missing closing ): `(`'],
  ['{a=~"[x"}', 'parse error : error parsing regexp: missing closing ]: `[x`'],
  ['{a=~"x\\\\"}', 'parse error : error parsing regexp: trailing backslash at end of expression: ``'],
  [
    'label_replace(vector(1), "a", "", "b", "(")',
    'parse error : invalid regex in label_replace: error parsing regexp: missing closing ): `^(?:()$`',
  ],
  ['', 'parse error : syntax error: unexpected $end'],
  [
    '{a="b"} | x > 1 and',
    'parse error at line 1, col 20: syntax error: unexpected $end, expecting IDENTIFIER or (',
  ],
  ['{a="b"} | unwrap x', 'parse error at line 1, col 11: syntax error: unexpected unwrap'],
  [
    'max_over_time({a="b"} | unwrap x | json [5m])',
    'parse error at line 1, col 36: syntax error: unexpected json, expecting IDENTIFIER or (',
  ],
  [
    'max_over_time({a="b"} | unwrap x |= "y" [5m])',
    'parse error at line 0, col 34: syntax error: unexpected |=, expecting RANGE or |',
  ],
  [
    'max_over_time({a="b"} | json [5m] | unwrap x)',
    'parse error at line 1, col 35: syntax error: unexpected |, expecting )',
  ],
  [
    'sum(rate({a="b"}[5m])) by (x y)',
    'parse error at line 1, col 30: syntax error: unexpected IDENTIFIER, expecting , or )',
  ],
  ['rate({a="b"}[])', 'parse error at line 0, col 13: empty duration string'],
  ['rate({a="b"}[5])', 'parse error at line 0, col 13: not a valid duration string: "5"'],
  ['rate({a="b"}[-5m])', 'parse error at line 0, col 13: not a valid duration string: "-5m"'],
  ['rate({a="b"}[1m1h])', 'parse error at line 0, col 13: not a valid duration string: "1m1h"'],
  ['rate({a="b"}[1.5h])', 'parse error at line 0, col 13: unknown unit "." in duration "1.5h"'],
  ['rate({a="b"}[300y])', 'parse error at line 0, col 13: duration out of range'],
  ['topk(99999999999999999999, vector(1))', 'parse error : invalid parameter topk(99999999999999999999,'],
  ['{a="b"} | pattern "x"', /invalid pattern parser: at least one capture is required$/],
  [
    '{a="b"} | pattern ""',
    'invalid pattern parser: parse error at line 1, col 1: syntax error: unexpected $end, expecting IDENTIFIER or LITERAL',
  ],
  [
    '{a="b"} | regexp "(?P<x>a)(?P<x>b)"',
    "parse error : invalid regexp parser: duplicate extracted label name 'x'",
  ],
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
  ['| json a=""', 'cannot parse expression []: syntax error: unexpected $end, expecting LSB or FIELD'],
  [
    '| json a="b[0"',
    'cannot parse expression [b[0]: syntax error: unexpected $end, expecting STRING or INDEX',
  ],
  ['| json a="b.0"', 'cannot parse expression [b.0]: syntax error: unexpected $end, expecting FIELD'],
  ['| json a="b{"', 'cannot parse expression [b{]: unexpected char {'],
  ['| logfmt a=""', 'cannot parse expression []: syntax error: unexpected $end, expecting STRING or KEY'],
  ['|~ "("', 'error parsing regexp: missing closing ): `(`'],
  ['!= ip("1.2.3")', 'ip: invalid pattern: "1.2.3"'],
  ['|> "<a>"', "named captures are not allowed: found '<a>'"],
])('%s parses, and is refused by its stage when it is planned', (stage, message) => {
  const expr = parseLogExpr(`{a="b"} | json ${stage}`);
  expect(() => planPipeline(expr)).toThrow(`parse error : stage '${stage}' : ${message}`);
});
