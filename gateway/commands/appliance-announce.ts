import { type Command, runCommand } from '../../lake/base/command.ts';
import { readAnnouncement } from '../appliance/announcement.ts';
import { placesUnder } from '../appliance/places.ts';
import { printEnrollment } from '../fleet/enrollment-state.ts';
import { rootFlag, say } from './appliance-setup.ts';

const command: Command = {
  name: 'firn appliance announce',
  about:
    'Run by an appliance when something about its enrollment is new: shows on the consoles the code to adopt it by, what is\n' +
    'in the way, or which gateway it has become.',
  flags: [rootFlag],
  positionals: [],
  settings: [],
};

export function main(argv: readonly string[]): Promise<number> {
  return runCommand(command, argv, async (line) => {
    const state = readAnnouncement(placesUnder(line.value('--root') ?? '/'));
    if (state !== undefined) say(line, `\n${printEnrollment(state)}\n`);
    return 0;
  });
}
