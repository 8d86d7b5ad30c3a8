import { expect, test } from 'vitest';
import type { LogStream, ResultData } from '../query.ts';
import { newStats } from '../source.ts';
import { resultPieces } from './encode.ts';

const streamOf = (level: string, lines: readonly (readonly [bigint, string])[]): LogStream => ({
  ...{ labels: [['app', 'x']], metadata: [['level', level]], parsed: [] },
  timesNs: new BigInt64Array(lines.map(([ns]) => ns)),
  lines: lines.map(([, line]) => line),
});

function valuesOf(streams: readonly LogStream[], categorize: boolean, forward: boolean): unknown[] {
  const data: ResultData = { type: 'streams', streams };
  const pieces = resultPieces({ data, stats: newStats() }, { categorize, forward, execMs: 1 });
  const answer = JSON.parse([...pieces].join('')) as {
    data: { result: { stream: unknown; values: unknown[] }[] };
  };
  return answer.data.result.map(({ stream, values }) => [stream, values]);
}

test.each([false, true])(
  'lines of one stream with other metadata stand in the order of time (forward: %s)',
  (forward) => {
    const inOrder = <T>(items: readonly T[]): T[] => (forward ? [...items] : items.toReversed());
    const info = streamOf(
      'info',
      inOrder([
        [1n, 'a'],
        [4n, 'd "quoted"'],
      ] as const),
    );
    const warn = streamOf(
      'warn',
      inOrder([
        [2n, 'b'],
        [3n, 'c'],
      ] as const),
    );
    const extra = (level: string) => ({ structuredMetadata: { level } });
    expect(valuesOf([info, warn], true, forward)).toEqual([
      [
        { app: 'x' },
        inOrder([
          ['1', 'a', extra('info')],
          ['2', 'b', extra('warn')],
          ['3', 'c', extra('warn')],
          ['4', 'd "quoted"', extra('info')],
        ]),
      ],
    ]);
    expect(valuesOf([info, warn], false, forward)).toEqual([
      [
        { app: 'x', level: 'info' },
        inOrder([
          ['1', 'a'],
          ['4', 'd "quoted"'],
        ]),
      ],
      [
        { app: 'x', level: 'warn' },
        inOrder([
          ['2', 'b'],
          ['3', 'c'],
        ]),
      ],
    ]);
  },
);
