import { execFileSync } from 'node:child_process';
import { type Command, runCommand } from '../../lake/base/command.ts';
import { FirnError } from '../../lake/base/errors.ts';
import { placesUnder } from '../appliance/places.ts';
import { resetAppliance } from '../appliance/reset.ts';
import { rootFlag } from './appliance-setup.ts';

const command: Command = {
  name: 'firn appliance reset',
  about:
    'Makes an appliance as it was when it was flashed, and starts it again: its identity, secrets and configuration go.\n' +
    'What it has received goes with them, or stays by --keep-data. Say --yes: there is no way back.',
  flags: [
    {
      flag: '--keep-data',
      description: 'Keep what was received: the next owner of the configuration ships it',
    },
    { flag: '--yes', description: 'Yes, really' },
    rootFlag,
  ],
  positionals: [],
  settings: [],
};

export function main(argv: readonly string[]): Promise<number> {
  return runCommand(command, argv, async (line) => {
    if (!line.isSet('--yes'))
      throw new FirnError({
        ...{ code: 'invalid', operation: 'reset', subject: '--yes' },
        message: 'this removes the identity and configuration of the device',
        hint: 'say --yes; and --keep-data to keep what was received',
      });
    const root = line.value('--root');
    if (root === undefined) execFileSync('systemctl', ['stop', 'firn-watch', 'firn-gateway']);
    resetAppliance(placesUnder(root ?? '/'), line.isSet('--keep-data'));
    if (root === undefined) execFileSync('systemctl', ['reboot']);
    return 0;
  });
}
