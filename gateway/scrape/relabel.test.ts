// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the templates are Prometheus'
import { expect, test } from 'vitest';
import type { RelabelRule } from './config-values.ts';
import { compileRelabel } from './relabel.ts';

const defaults: RelabelRule = {
  ...{ action: 'replace', source_labels: [], separator: ';', regex: '(.*)', modulus: 0n },
  ...{ target_label: '', replacement: '$1' },
};

type Given = Readonly<Record<string, string>>;

function relabel(labels: Given, ...rules: Partial<RelabelRule>[]): Given | 'dropped' {
  const map = new Map(Object.entries(labels));
  const kept = compileRelabel(rules.map((rule) => ({ ...defaults, ...rule })))(map);
  return kept ? Object.fromEntries([...map].sort()) : 'dropped';
}

const abc = { a: 'foo', b: 'bar', c: 'baz' };

test.each<[string, Given, Partial<RelabelRule>[], Given | 'dropped']>([
  [
    'replace',
    abc,
    [{ source_labels: ['a'], regex: 'f(.*)', target_label: 'd', replacement: 'ch${1}-ch$1' }],
    { ...abc, d: 'choo-choo' },
  ],
  [
    'several sources',
    abc,
    [{ source_labels: ['a', 'x', 'b'], regex: 'f(.*);;(.*)r', target_label: 'a', replacement: 'b${1}${2}m' }],
    { ...abc, a: 'boobam' },
  ],
  [
    'one rule sees the one before',
    abc,
    [
      { target_label: 'd', replacement: 'x' },
      { source_labels: ['d'], target_label: 'e' },
    ],
    { ...abc, d: 'x', e: 'x' },
  ],
  [
    'another separator',
    abc,
    [{ source_labels: ['a', 'b'], separator: '@', target_label: 'd' }],
    { ...abc, d: 'foo@bar' },
  ],
  [
    'the whole value has to match',
    abc,
    [{ source_labels: ['a'], regex: 'o', target_label: 'd', replacement: 'x' }],
    abc,
  ],
  ['alternatives are anchored as one', abc, [{ source_labels: ['a'], regex: 'f|o', action: 'drop' }], abc],
  [
    'an empty value is no label',
    abc,
    [{ source_labels: ['a'], regex: '(f).*', target_label: 'b', replacement: '$2' }],
    { a: 'foo', c: 'baz' },
  ],
  [
    'a name from the match',
    { a: 'some-name-value' },
    [{ source_labels: ['a'], regex: 'some-([^-]+)-([^,]+)', target_label: '${1}', replacement: '${2}' }],
    { a: 'some-name-value', name: 'value' },
  ],
  [
    'a name that is empty',
    { a: 'x' },
    [{ source_labels: ['a'], target_label: '${3}', replacement: 'y' }],
    { a: 'x' },
  ],
  [
    '$1x is a group of that name',
    abc,
    [{ source_labels: ['a'], target_label: 'd', replacement: '$1x' }],
    abc,
  ],
  [
    'named groups, and a dollar',
    abc,
    [
      {
        source_labels: ['a'],
        regex: '(?P<first>.)(?<rest>.*)',
        target_label: 'd',
        replacement: '$rest-${first}-$$-$',
      },
    ],
    { ...abc, d: 'oo-f-$-$' },
  ],
  [
    'line breaks',
    { a: 'line1\nline2' },
    [{ source_labels: ['a'], regex: 'line1.*line2', target_label: 'd', replacement: 'm' }],
    { a: 'line1\nline2', d: 'm' },
  ],
  [
    'flags and classes of RE2',
    { a: 'ÄB-7' },
    [{ source_labels: ['a'], regex: '(?i)ä\\pL-[[:digit:]]\\z', target_label: 'd', replacement: 'm' }],
    { a: 'ÄB-7', d: 'm' },
  ],
  ['keep', abc, [{ source_labels: ['a'], regex: 'f.*', action: 'keep' }], abc],
  ['keep what does not match', abc, [{ source_labels: ['a'], regex: 'no', action: 'keep' }], 'dropped'],
  ['keep a label that is not there', abc, [{ source_labels: ['x'], regex: '.+', action: 'keep' }], 'dropped'],
  [
    'drop',
    abc,
    [
      { source_labels: ['a'], regex: '.*o.*', action: 'drop' },
      { target_label: 'x', replacement: 'y' },
    ],
    'dropped',
  ],
  [
    'keepequal',
    { p: '1', q: '1' },
    [{ source_labels: ['p'], target_label: 'q', action: 'keepequal' }],
    { p: '1', q: '1' },
  ],
  [
    'keepequal of others',
    { p: '1', q: '2' },
    [{ source_labels: ['p'], target_label: 'q', action: 'keepequal' }],
    'dropped',
  ],
  [
    'dropequal',
    { p: '1', q: '1' },
    [{ source_labels: ['p'], target_label: 'q', action: 'dropequal' }],
    'dropped',
  ],
  [
    'dropequal of others',
    { p: '1', q: '2' },
    [{ source_labels: ['p'], target_label: 'q', action: 'dropequal' }],
    { p: '1', q: '2' },
  ],
  // The numbers are what Prometheus makes of these values.
  [
    'hashmod',
    { c: 'baz' },
    [{ source_labels: ['c'], target_label: 'd', action: 'hashmod', modulus: 1000n }],
    { c: 'baz', d: '976' },
  ],
  [
    'hashmod of lines',
    { a: 'foo\nbar' },
    [{ source_labels: ['a'], target_label: 'd', action: 'hashmod', modulus: 1000n }],
    { a: 'foo\nbar', d: '734' },
  ],
  [
    'labelmap',
    { a: '1', __meta_x_b: '2', __meta_x_c: '3' },
    [{ regex: '__meta_x_(.*)', action: 'labelmap' }],
    { a: '1', __meta_x_b: '2', __meta_x_c: '3', b: '2', c: '3' },
  ],
  ['labeldrop', abc, [{ regex: '^[ab]$', action: 'labeldrop' }], { c: 'baz' }],
  ['labelkeep', abc, [{ regex: '[ab]', action: 'labelkeep' }], { a: 'foo', b: 'bar' }],
  [
    'lowercase, uppercase',
    { a: 'bAr1É' },
    [
      { source_labels: ['a'], target_label: 'l', action: 'lowercase' },
      { source_labels: ['a'], target_label: 'u', action: 'uppercase' },
    ],
    { a: 'bAr1É', l: 'bar1é', u: 'BAR1É' },
  ],
  [
    'names of any characters',
    abc,
    [{ source_labels: ['a'], target_label: 'utf-8.é', replacement: 'x' }],
    { ...abc, 'utf-8.é': 'x' },
  ],
])('%s', (_, labels, rules, expected) => expect(relabel(labels, ...rules)).toEqual(expected));

test('an expression takes linear time, whatever the value', () => {
  const value = 'a'.repeat(50_000);
  expect(relabel({ a: value }, { source_labels: ['a'], regex: '(a+)+b', target_label: 'd' })).toEqual({
    a: value,
  });
});

test('an expression that is wrong is refused', () => {
  expect(() => relabel(abc, { regex: '(' })).toThrow(/missing closing \)/);
  expect(() => relabel(abc, { regex: '(?=a)' })).toThrow(/invalid|unsupported|perl/i);
});
