import { expect, test } from 'vitest';
import { messageOf } from '../../base/errors.ts';
import { compileTemplate } from './execute.ts';

// Templates as Loki (grafana/loki 65e30f8, Go 1.26) carries them out: each expectation was its own answer.

const labels = new Map(
  Object.entries({
    ...{ app: 'x', status: '200', empty: '', msg: 'Hello, Wörld', n: '42', multi: 'a\nb' },
    json: '{"a":1,"b":[1,2.5,"x",null,true],"c":{"d":"e"}}',
  }),
);

function run(source: string): string {
  try {
    return compileTemplate(
      'line',
      source,
    )({
      ...{ line: 'the line é', timestampNs: 1_700_000_000_123_456_789n },
      label: (name) => labels.get(name),
      labels: () => labels,
    });
  } catch (error) {
    return messageOf(error);
  }
}

const failed = (column: number, what: string, message: string): string =>
  `template: line:1:${column}: executing "line" at <${what}>: ${message}`;

test.each([
  // Blanks, comments and control flow.
  ['a {{- /* c */ -}} b{{/* c */}} c', 'ab c'],
  ['x {{- if true }} a {{ end -}} y', 'x a y'],
  ['{{ with .nope }}{{ . }}{{ else with .app }}[{{.}}]{{ end }}', '[x]'],
  ['{{ if .nope }}1{{ else if eq .status "200" }}2{{ else }}3{{ end }}', '2'],
  [
    '{{ range $i, $v := (fromJson .json).b }}{{ if gt $i 1 }}{{ break }}{{ end }}{{$i}}:{{ $v }} {{end}}',
    '0:1 1:2.5 ',
  ],
  ['{{ range (fromJson .json).b }}{{ if eq . nil }}nil{{continue}}{{end}}{{.}}{{end}}', '12.5xniltrue'],
  ['{{ range $k, $v := fromJson .json }}{{$k}}={{$v}};{{end}}', 'a=1;b=[1 2.5 x <nil> true];c=map[d:e];'],
  ['{{ range 3 }}{{ . }}{{ else }}none{{ end }}{{ range 0 }}{{ else }}none{{ end }}', '012none'],
  ['{{ $x := "a" }}{{ if true }}{{ $x = "b" }}{{ $x := "c" }}{{ end }}{{ $x }}', 'b'],
  // Templates within templates.
  ['{{ template "t" .app }}{{ define "t" }}[{{ . }}{{ $ }}]{{ end }}', '[xx]'],
  [
    '{{ define "t" }}[{{ . }}]{{ end }}{{ template "t" }}{{ block "b" .app }}<{{ . }}>{{ end }}',
    '[<no value>]<x>',
  ],
  // Functions that Go has itself.
  [
    '{{ and 1 0 2 }} {{ or 0 "" "x" }} {{ and (eq 1 1) (eq 1 2) }} {{ or true (index "a" 5) }}',
    '0 x false true',
  ],
  [
    '{{ eq "a" "b" "a" }} {{ lt 1 2 }} {{ gt "b" "a" }} {{ eq .nope nil }} {{ eq nil nil }}',
    'true true true false true',
  ],
  [
    '{{ index (fromJson .json) "c" "d" }} {{ index .msg 1 }} {{ slice .msg 1 3 }} {{ len .msg }}',
    'e 101 el 13',
  ],
  [
    '{{ print 1 2 "a" "b" 3 4.5 nil true }} {{ js "it\'s <b>" }}',
    "1 2ab3 4.5 <nil> true it\\'s \\u003Cb\\u003E",
  ],
  [
    '{{ printf "%5d|%-5d|%05d|%+d|%x|%q|%U|% d|%#x" 42 42 42 42 255 65 65 5 255 }}',
    "   42|42   |00042|+42|ff|'A'|U+0041| 5|0xff",
  ],
  ['{{ printf "%-5s|%.2s|% x|%#q|%+q" "é" "abc" "hi" "abc" "é" }}', 'é    |ab|68 69|`abc`|"\\u00e9"'],
  [
    '{{ printf "%.2f|%8.3f|%e|%g|%G|%.3g|%5.1f" 3.14159 3.14159 31415.9 1e21 1e-7 1234.5678 1.25 }}',
    '3.14|   3.142|3.141590e+04|1e+21|1E-07|1.23e+03|  1.2',
  ],
  [
    '{{ printf "%[2]d %[1]d" 1 2 }} {{ printf "%*d|%.*f" 5 1 2 3.14159 }} {{ printf "%[3]d" 1 }}',
    '2 1     1|3.14 %!d(BADINDEX)',
  ],
  [
    '{{ printf "%d" "a" }} {{ printf "%" }} {{ printf "%d" }} {{ printf "%d" 1 2 }} {{ printf "%s" nil }}',
    '%!d(string=a) %!(NOVERB) %!d(MISSING) 1%!(EXTRA int=2) %!s(<nil>)',
  ],
  ['{{ printf "%s %T %#v" (fromJson "[\\"a\\",1]") nil "a" }}', '[a %!s(float64=1)] <nil> "a"'],
  // Loki's, and those of sprig.
  [
    '{{ addf 0.1 0.2 }} {{ mulf 1.1 1.1 }} {{ subf 5 3 1 }} {{ divf 1 3 }} {{ add }}',
    '0.3 1.21 1 0.3333333333333333 0',
  ],
  [
    '{{ Replace "abc" "" "-" 2 }} {{ Replace .msg "l" "L" 1 }} {{ replace "" "-" "ab" }}',
    '-a-bc HeLlo, Wörld -a-b-',
  ],
  ['{{ ToUpper "straße" }} {{ ToLower "ΑΣ" }}', 'STRAßE ασ'],
  [
    '{{ __timestamp__.Unix }} {{ __timestamp__.Year }} {{ (__timestamp__).Format "15:04" }}',
    '1700000000 2023 22:13',
  ],
  ['{{ __timestamp__ | date "Mon Jan _2 03:04:05.000 PM MST 2006" }}', 'Tue Nov 14 10:13:20.123 PM UTC 2023'],
  ['{{ unixEpochNanos __timestamp__ }} {{ date "2006-01-02" 1700000000 }}', '1700000000123456789 2023-11-14'],
  ['{{ default "d" .nope }} {{ default "d" .app }} {{ default "d" }} {{ round 1.4 0 0.3 }}', 'd x d 2'],
])('%s is %s', (source, wanted) => expect(run(source)).toBe(wanted));

test.each([
  // What a line can do wrong.
  ['{{ range .app }}x{{ end }}', failed(9, '.app', "range can't iterate over x")],
  ['{{ range $i, $j := 3 }}{{ end }}', failed(19, '3', "can't use 3 to iterate over more than one variable")],
  ['{{ .app.b }}', failed(7, '.app.b', "can't evaluate field b in type string")],
  ['{{ (fromJson .json).zz.b }}', failed(13, '.json', 'nil pointer evaluating interface {}.b')],
  [
    '{{ eq 1 1.0 }}',
    failed(3, 'eq 1 1.0', 'error calling eq: incompatible types for comparison: int and float64'),
  ],
  ['{{ lt true false }}', failed(3, 'lt true false', 'error calling lt: invalid type for comparison')],
  ['{{ ToUpper 1 }}', failed(11, '1', 'expected string; found 1')],
  ['{{ ToUpper (len .app) }}', failed(16, '.app', 'wrong type for value; expected string; got int')],
  ['{{ alignLeft (add 1 2) .app }}', failed(20, '2', 'wrong type for value; expected int; got int64')],
  ['{{ ToUpper nil }}', failed(11, 'nil', 'cannot assign nil to string')],
  ['{{ trunc 3 }}', failed(3, 'trunc', 'wrong number of args for trunc: want 2 got 1')],
  [
    '{{ index (fromJson .json) "b" 20 }}',
    failed(3, 'index (fromJson .json) "b" 20', 'error calling index: index out of range: 20'),
  ],
  ['{{ repeat -1 "a" }}', failed(3, 'repeat -1 "a"', 'error calling repeat: strings: negative Repeat count')],
  ['{{ template "no" . }}', failed(12, '{{template "no" .}}', 'template "no" not defined')],
  ['{{ nil }}', failed(3, 'nil', 'nil is not a command')],
  ['{{ 1 2 }}', failed(3, '1', "can't give argument to non-function 1")],
  // What is none.
  ['{{ $y }}', 'template: line:1: undefined variable "$y"'],
  ['{{ if }}x{{ end }}', 'template: line:1: missing value for if'],
  ['{{ if .a }}{{ else }}{{ else }}{{ end }}', 'template: line:1: expected end; found {{else}}'],
  ['{{ 1 | 2 }}', 'template: line:1: non executable command in pipeline stage 2'],
  ['{{ | }}', 'template: line:1: unexpected "|" in command'],
  ["{{ 'a }}", 'template: line:1: unterminated character constant'],
  ['{{ int64 1 }}', 'template: line:1: function "int64" not defined'],
  ['\n{{ .a', 'template: line:2: unclosed action'],
  ['{{ break }}', 'template: line:1: {{break}} outside {{range}}'],
  ['{{ define "line" }}q{{ end }}z', 'template: line:1: template: multiple definition of template "line"'],
])('%s fails: %s', (source, wanted) => expect(run(source)).toBe(wanted));

test('templates that would not end, or would fill the memory, are ended', () => {
  expect(run('{{ printf "%*d" 1000000000000 1 }}')).toBe('%!(BADWIDTH)1');
  expect(run('{{ define "t" }}{{ template "t" . }}{{ end }}{{ template "t" . }}')).toContain(
    'templateDepthMax',
  );
  expect(run('{{ range 2000 }}{{ range 2000 }}{{ $x := . }}{{ end }}{{ end }}')).toContain(
    'templateStepsMax',
  );
  expect(run('{{ range 100000 }}{{ printf "%1000d" . }}{{ end }}')).toContain('templateCharactersMax');
});
