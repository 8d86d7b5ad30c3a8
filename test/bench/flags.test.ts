import { expect, test } from 'vitest';
import { readCommand, readFlags, Usage } from './flags.ts';

const flags = {
  rows: { type: 'string', default: '10', about: 'to make' },
  alone: { type: 'boolean', default: false, about: 'without others' },
} as const;

const usageOf = (argv: readonly string[]): Usage => {
  try {
    readCommand(argv, flags, ['write', 'read']);
  } catch (error) {
    if (error instanceof Usage) return error;
    throw error;
  }
  throw new Error('no usage was thrown');
};

test('flags have their defaults, and all parts are meant where none is named', () => {
  expect(readFlags(['--rows', '7'], flags)).toMatchObject({ rows: '7', alone: false });
  expect(readCommand([], flags, ['write', 'read']).parts).toEqual(['write', 'read']);
  expect(readCommand(['read', '--alone'], flags, ['write', 'read'])).toMatchObject({
    values: { rows: '10', alone: true },
    parts: ['read'],
  });
});

test('help lists parts and flags with their defaults, and is no mistake', () => {
  const { message, mistake } = usageOf(['--rows', '7', '--help']);
  expect(mistake).toBeUndefined();
  expect(message.split('\n').map((line) => line.trim().replace(/ +/g, ' '))).toEqual([
    'PART ... write, read (all of them)',
    '--rows VALUE to make (10)',
    '--alone without others',
  ]);
});

test.each([
  [['--row', '7'], "Unknown option '--row'"],
  [['--rows'], "Option '--rows <value>' argument missing"],
  [['fold'], 'there is no part fold'],
])('%j is a mistake that is named', (argv, mistake) => {
  expect(usageOf(argv).mistake).toContain(mistake);
});
