import { expect, test } from 'vitest';
import { csvText, sparkline, tableText } from './print.ts';
import { secondsOf } from './promql.ts';
import { readAsk } from './settings.ts';

test('a table is as wide as its values, with numbers to the right', () => {
  expect(
    tableText(
      ['name', 'n'],
      [
        ['ä', 1],
        ['bcdef', 20],
        [null, null],
      ],
    ),
  ).toBe('name    n\n─────  ──\nä       1\nbcdef  20\n\n');
});

test('CSV quotes what it must', () => {
  expect(csvText(['a', 'b'], [['x,"y"', null]])).toBe('a,b\r\n"x,""y""",\r\n');
});

test('a plot goes from the least to the greatest, with gaps', () => {
  expect(sparkline([0, undefined, 5, 10])).toBe('▁ ▅█');
  expect(sparkline([3, 3])).toBe('▅▅');
});

test('the query is the argument that belongs to no flag', () => {
  const { query, settings } = readAsk('promql', ['--json', 'up == 1', '--since', '2h', '--url=http://x']);
  expect(query).toBe('up == 1');
  expect(settings).toMatchObject({ json: true, csv: false, since: '2h', url: 'http://x' });
  expect(() => readAsk('sql', ['--csv'])).toThrow('there is no query');
});

test('lengths of time', () => {
  expect(['90s', '1.5h', '7d'].map(secondsOf)).toEqual([90, 5400, 604_800]);
  expect(() => secondsOf('soon')).toThrow('no length of time');
});
