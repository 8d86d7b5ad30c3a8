import { expect, test } from 'vitest';
import { z } from 'zod';
import { type Command, readCommandLine } from './command.ts';
import { settingsOf } from './config.ts';

const schema = z.strictObject({ dataDir: z.string().default('x'), open: z.boolean().default(false) });
const command: Command = {
  name: 'firn try',
  about: '',
  flags: [
    { flag: '--to', value: 'DIR', required: true, description: '' },
    { flag: '--new', description: '' },
  ],
  positionals: ['FILE'],
  settings: settingsOf(schema, 'TRY'),
};

test.each([
  [['--to', 'd', 'f'], { to: 'd', isNew: false, positionals: ['f'], rest: [] }],
  [['f', '--new', '--to=d'], { to: 'd', isNew: true, positionals: ['f'], rest: [] }],
  [
    ['--data-dir', 'x', 'f', '--to', 'd'],
    { to: 'd', isNew: false, positionals: ['f'], rest: ['--data-dir', 'x'] },
  ],
  [['--open', 'f', '--to', 'd'], { to: 'd', isNew: false, positionals: ['f'], rest: ['--open'] }],
  [
    ['--open', 'true', 'f', '--to', 'd'],
    { to: 'd', isNew: false, positionals: ['f'], rest: ['--open', 'true'] },
  ],
  [['--data-dir=x', 'f', '--to', 'd'], { to: 'd', isNew: false, positionals: ['f'], rest: ['--data-dir=x'] }],
])('%j is read', (argv, expected) => {
  const line = readCommandLine(command, argv);
  const { positionals, rest } = line;
  expect({ to: line.value('--to'), isNew: line.isSet('--new'), positionals, rest }).toEqual(expected);
});

test.each([
  [['f'], '--to DIR is missing'],
  [['--to', 'd'], 'FILE is missing'],
  [['f', '--to'], '--to needs a value'],
  [['f', 'g', '--to', 'd'], 'there is no argument for "g"'],
])('%j is refused', (argv, message) => {
  expect(() => readCommandLine(command, argv)).toThrow(message);
});

test('a command without settings knows all of its flags', () => {
  expect(() => readCommandLine({ ...command, settings: [] }, ['f', '--to', 'd', '--data-dir', 'x'])).toThrow(
    'there is no flag --data-dir',
  );
});
