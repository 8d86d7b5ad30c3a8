import { expect, test } from 'vitest';
import { createDrain } from './drain.ts';

test('lines of one shape become one pattern, what varies a wildcard', () => {
  const drain = createDrain();
  const lines = [
    'order 17 finished in station 3',
    'order 18 finished in station 4',
    'valve 7 does not close',
    'order 19 finished in station 3',
    'level=info msg="user anna logged in" took=12ms',
    'level=info msg="user otto logged in" took=7ms',
    '',
  ];
  for (const line of lines) drain.add(line);
  expect(drain.clusters().map((cluster) => [drain.pattern(cluster), cluster.size])).toEqual([
    ['order <_> finished in station <_>', 3],
    ['valve <_> does not close', 1],
    ['level=info msg="user <_> logged in" took=<_>', 2],
  ]);
});
