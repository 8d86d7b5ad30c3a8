import { execFileSync } from 'node:child_process';
import { type Command, runCommand } from '../../lake/base/command.ts';
import { sayOnConsoles } from '../appliance/consoles.ts';
import { fetchBundle } from '../appliance/fetch-bundle.ts';
import { installUpdate } from '../appliance/install-update.ts';
import { placesUnder } from '../appliance/places.ts';
import { raucSlots } from '../appliance/rauc.ts';
import { installRequested } from '../appliance/requested-update.ts';
import { isShipping } from '../appliance/shipped.ts';
import { applianceConfig } from './appliance-config.ts';

const command: Command = {
  name: 'firn update requested',
  about:
    'Run by an appliance when its cloud has asked for an update by a rollout (firn rollouts create --firmware): fetches the\n' +
    'bundle, verifies and installs it, and starts it. What came of it goes to the cloud with the next heartbeat.',
  flags: [],
  positionals: [],
  settings: [],
};

export function main(argv: readonly string[]): Promise<number> {
  return runCommand(command, argv, async () => {
    const places = placesUnder('/');
    const config = applianceConfig(places);
    const isInstalled = await installRequested({
      places,
      fetchBundle: (url) => fetchBundle(url, places, config.ship.bytesPerSecondMax),
      install: (bundle, request) => {
        sayOnConsoles(`firn: update ${request.version} of rollout ${request.rollout} is installed\n`);
        return installUpdate({
          ...{ slots: raucSlots(), places, bundle, request },
          shipping: () => isShipping(config),
        });
      },
    });
    if (isInstalled) execFileSync('systemctl', ['reboot']);
    return 0;
  });
}
