import { type Command, jsonFlag, runCommand } from '../../lake/base/command.ts';
import { placesUnder } from '../appliance/places.ts';
import { raucSlots } from '../appliance/rauc.ts';
import { readRelease, readUpdateRecord } from '../appliance/update-record.ts';

const command: Command = {
  name: 'firn update status',
  about: 'On an appliance: shows the running version and slot, and an update that is not judged yet.',
  flags: [jsonFlag],
  positionals: [],
  settings: [],
};

export function main(argv: readonly string[]): Promise<number> {
  return runCommand(command, argv, async (line) => {
    const places = placesUnder('/');
    const { version } = readRelease(places);
    const slots = await raucSlots().status();
    const update = readUpdateRecord(places);
    const pending =
      update === undefined ? '' : `${update.toVersion} waits in slot ${update.slot} (${update.stage})\n`;
    const text = `${version} runs from slot ${slots.booted}; the next start tries ${slots.next}\n${pending}`;
    process.stdout.write(
      line.isSet('--json') ? `${JSON.stringify({ version, slots, update: update ?? null })}\n` : text,
    );
    return 0;
  });
}
