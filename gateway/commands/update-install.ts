import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { type Command, type CommandLine, runCommand } from '../../lake/base/command.ts';
import { FirnError } from '../../lake/base/errors.ts';
import { fetchBundle } from '../appliance/fetch-bundle.ts';
import { installUpdate } from '../appliance/install-update.ts';
import { placesUnder } from '../appliance/places.ts';
import { raucSlots } from '../appliance/rauc.ts';
import { isShipping } from '../appliance/shipped.ts';
import { applianceConfig } from './appliance-config.ts';

const command: Command = {
  name: 'firn update install',
  about:
    'On an appliance: verifies a signed update and writes it to the slot that does not run; the gateway goes on meanwhile.\n' +
    'The next start tries it. If it is not healthy within five minutes, or does not start three times, the slot of now\n' +
    'comes back by itself. BUNDLE is a file or a URL; a download that was cut off goes on where it ended.',
  flags: [{ flag: '--restart', description: 'Start the new version at once' }],
  positionals: ['BUNDLE'],
  settings: [],
};

export function main(argv: readonly string[]): Promise<number> {
  return runCommand(command, argv, install);
}

async function install(line: CommandLine): Promise<number> {
  const [source = ''] = line.positionals;
  const places = placesUnder('/');
  const config = applianceConfig(places);
  const bundle = /^https?:/.test(source)
    ? await fetchBundle(source, places, config.ship.bytesPerSecondMax)
    : source;
  if (!existsSync(bundle)) throw refused(`there is no file ${bundle}`);
  process.stdout.write('verifying and writing; this takes a minute or more\n');
  const { slot, fromVersion, toVersion } = await installUpdate({
    slots: raucSlots(),
    places,
    bundle,
    shipping: () => isShipping(config),
  });
  process.stdout.write(
    `${toVersion} is in slot ${slot}; the next start tries it, ${fromVersion} stays for the case it fails\n`,
  );
  if (line.isSet('--restart')) execFileSync('systemctl', ['reboot']);
  return 0;
}

const refused = (message: string): FirnError =>
  new FirnError({ code: 'not-found', operation: 'install an update', subject: 'BUNDLE', message });
