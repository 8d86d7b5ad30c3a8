import { expect, test } from 'vitest';
import { parseSegmentName } from '../../../lake/model/keys.ts';
import { type FoundFile, planReconcile, type ReconcileLimits } from './plan-reconcile.ts';

/** `E:from-to[suffix]`, for example `5:0-10-t1`, all of one day. */
function file(text: string): FoundFile {
  const [, epoch = '', from = '', to = '', suffix = ''] = /^(\d+):(\d+)-(\d+)(.*)$/.exec(text) ?? [];
  const pad = (digits: string, length: number): string => digits.padStart(length, '0');
  const name = `${pad(epoch, 12)}-${pad(from, 16)}-${pad(to, 16)}-2027-01-15${suffix}.parquet`;
  const place = parseSegmentName(name);
  if (place === undefined) throw new Error(`${name} is no name of a segment`);
  return { path: text, signal: 'metrics', place };
}

interface Case {
  readonly files: string;
  readonly known?: string;
  readonly limits?: Partial<ReconcileLimits>;
  readonly adopt?: string;
  readonly remove?: string;
  readonly last?: string;
  readonly gone?: string;
}

const words = (text = ''): string[] => text.split(' ').filter((word) => word !== '');

test.each<[string, Case]>([
  ['all is named', { files: '5:0-10 5:10-20', known: '5:0-10 5:10-20' }],
  ['no table: what was sealed is adopted', { files: '5:0-10 5:10-20', adopt: '5:0-10 5:10-20' }],
  ['of older epochs all is adopted', { files: '4:0-99 5:0-10', adopt: '4:0-99 5:0-10' }],
  ['of the running epoch nothing is touched', { files: '6:0-10 7:0-9', known: '6:10-20' }],
  [
    'of epochs that another job looks after nothing is',
    { files: '3:0-1 4:0-1', limits: { sinceEpoch: 4 }, adopt: '4:0-1' },
  ],
  ['the last seal is not certain', { files: '5:10-20 5:20-25', adopt: '5:10-20', last: '5:20-25' }],
  [
    'a file says that the seals before it were committed',
    {
      files: '5:0-10 5:10-20 5:20-25',
      limits: { ended: { epoch: 5, sealedSeq: 0 } },
      adopt: '5:0-10 5:10-20',
      last: '5:20-25',
    },
  ],
  ['only committed files are merged', { files: '5:0-30-b1', adopt: '5:0-30-b1' }],
  ['parts go with the merged file', { files: '5:0-10 5:10-20 5:0-20-t1', adopt: '5:0-20-t1' }],
  ['parts of parts too', { files: '5:0-10 5:0-15-t1 5:0-20-t2', adopt: '5:0-20-t2' }],
  ['of the same range, the later merge', { files: '5:0-20-t1 5:0-20-t2', adopt: '5:0-20-t2' }],
  ['another class is no part', { files: '5:0-10-alarms 5:0-20-t1', adopt: '5:0-10-alarms 5:0-20-t1' }],
  ['another epoch is no part', { files: '4:0-10 5:0-20-t1', adopt: '4:0-10 5:0-20-t1' }],
  [
    'a merge that was not committed: all its parts are named and here',
    { files: '5:0-10 5:10-20 5:0-20-b1', known: '5:0-10 5:10-20', remove: '5:0-20-b1' },
  ],
  [
    'a merge whose commit was lost: a part is deleted already',
    { files: '5:10-20 5:0-20-b1', known: '5:0-10 5:10-20', adopt: '5:0-20-b1' },
  ],
  ['a part whose deletion was due', { files: '5:0-10 5:0-20-t1', known: '5:0-20-t1', remove: '5:0-10' }],
  ['a named file is gone', { files: '5:10-20', known: '5:0-10 5:10-20', gone: '5:0-10' }],
  [
    'the table is trusted: what it does not name goes',
    {
      files: '5:0-10 5:10-20',
      known: '5:10-20 5:20-30',
      limits: { ended: undefined },
      remove: '5:0-10',
      gone: '5:20-30',
    },
  ],
])('%s', (_, { files, known, limits, ...expected }) => {
  const table = words(known).map((text) => ({ ...file(text), committed: false }));
  const ended = { epoch: 5, sealedSeq: 20 };
  const plan = planReconcile(words(files).map(file), table, { epoch: 6, sinceEpoch: 0, ended, ...limits });
  const names = (found: readonly { readonly path: string }[]): string[] =>
    found.map(({ path }) => path).sort();
  expect({
    adopt: names(plan.adopt),
    remove: [...plan.remove].sort(),
    last: names(plan.last),
    gone: names(plan.gone),
  }).toEqual({
    adopt: words(expected.adopt).sort(),
    remove: words(expected.remove).sort(),
    last: words(expected.last),
    gone: words(expected.gone),
  });
  // Whatever is neither adopted nor left alone goes, by itself or with the file that has its rows.
  const going = [...plan.remove, ...[...plan.covered.values()].flat()];
  expect(going.filter((path) => names(plan.adopt).includes(path))).toEqual([]);
});

test('every file of an ended epoch is accounted for', () => {
  const all = words('5:0-10 5:10-20 5:0-20-b1 5:20-30 5:30-40 4:0-7 5:0-30-t2').map(file);
  const plan = planReconcile(all, [], { epoch: 6, sinceEpoch: 0, ended: { epoch: 5, sealedSeq: 30 } });
  const seen = [...plan.adopt, ...plan.last].map(({ path }) => path);
  const going = [...plan.remove, ...[...plan.covered.values()].flat()];
  expect([...new Set([...seen, ...going])].sort()).toEqual(all.map(({ path }) => path).sort());
  expect(plan.adopt.map(({ path }) => path).sort()).toEqual(['4:0-7', '5:0-30-t2']);
});
