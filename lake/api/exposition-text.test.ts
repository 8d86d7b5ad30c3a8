import { expect, test } from 'vitest';
import { expositionText } from './exposition-text.ts';

test('metrics, labels and odd values', () => {
  const text = expositionText([
    { name: 'a_total', help: 'One\\two\nthree.', type: 'counter', samples: [{ value: 1.5 }] },
    {
      ...{ name: 'b', help: 'B.', type: 'gauge' },
      samples: [
        { value: Number.POSITIVE_INFINITY, labels: { t: 'x"y\\z\n', u: '' } },
        { value: Number.NaN, labels: { t: 'unknown' } },
      ],
    },
    { name: 'c', help: 'Not measured.', type: 'gauge', samples: [{ value: Number.NaN }] },
  ]);
  expect(text).toBe(
    '# HELP a_total One\\\\two\\nthree.\n# TYPE a_total counter\na_total 1.5\n' +
      '# HELP b B.\n# TYPE b gauge\nb{t="x\\"y\\\\z\\n",u=""} +Inf\n',
  );
});
