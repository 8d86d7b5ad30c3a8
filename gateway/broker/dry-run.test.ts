import { expect, test } from 'vitest';
import { systemClock } from '../../lake/base/clock.ts';
import { parseCaptureLine } from './capture-file.ts';
import { createDryRun, printDryRun } from './dry-run.ts';
import { openRules } from './rules-file.ts';

test('a dry run counts series by rule and label, and names what no rule takes', () => {
  const rules = openRules(
    [
      { name: 'presses', topic: 'p/{line}/{machine}', topicLabel: false },
      { name: 'idle', topic: 'x' },
    ],
    '',
  );
  const run = createDryRun(rules, [], systemClock);
  const send = (topic: string, payload: string, old = false) =>
    run.take(topic, Buffer.from(payload), old, 1.7e15);
  for (const machine of [1, 2, 3]) send(`p/a/${machine}`, '{"force":1,"rpm":2}');
  send('p/a/1', '{"force":5}');
  send('p/a/1', '{"force":');
  send('p/a/1', '{"force":5}', true);
  send('other/t', '21.5');
  const report = run.report();
  expect(report).toMatchObject({ messages: 7, series: 7, unmatched: ['other/t'] });
  expect(report.rules).toEqual([
    {
      ...{ rule: 'rule 1 (presses)', messages: 6, topics: 3, series: 6, rows: 7, ignored: 1, retained: 1 },
      deadLetters: { 'bad-json': 1 },
      labels: [
        ['machine', 3],
        ['__name__', 2],
        ['line', 1],
      ],
      samples: [
        'force{line="a", machine="1"} 1 2023-11-14T22:13:20.000Z',
        'rpm{line="a", machine="1"} 2 2023-11-14T22:13:20.000Z',
        'force{line="a", machine="2"} 1 2023-11-14T22:13:20.000Z',
      ],
    },
    {
      rule: 'rule 2 (idle)',
      messages: 0,
      topics: 0,
      series: 0,
      rows: 0,
      ignored: 0,
      retained: 0,
      deadLetters: {},
      labels: [],
      samples: [],
    },
    expect.objectContaining({ rule: '(no rule)', messages: 1, series: 1 }),
  ]);
  const text = printDryRun(report);
  expect(text).toContain('rule 1 (presses): 6 messages on 3 topics, 7 rows, 6 series');
  expect(text).toContain('\n  1 messages make no rows, 1 of them because they are retained, not new\n');
  expect(text).toContain('1 topics match no rule:\n  other/t');
});

test.each([
  [
    '{"tst":"2023-11-14T22:13:20.000000Z","topic":"a","qos":0,"retain":1,"payloadlen":3,"payload":"1.5"}',
    '1.5',
    true,
    1.7e15,
  ],
  ['{"topic":"a","payload":{"v":1}}', '{"v":1}', false, undefined],
  ['{"topic":"a","payloadBase64":"AAE="}', '\u0000\u0001', false, undefined],
])('the line %s', (line, payload, retain, receivedUs) => {
  expect(parseCaptureLine(line, 1)).toEqual({
    topic: 'a',
    payload: Buffer.from(payload),
    retain,
    receivedUs,
  });
});

test.each([
  ['no JSON', 'line 4 is not JSON'],
  ['7', 'line 4 is no JSON object'],
  ['{"payload":"1"}', 'line 4 has no topic'],
])('the line %s is refused', (line, message) => expect(() => parseCaptureLine(line, 4)).toThrow(message));
