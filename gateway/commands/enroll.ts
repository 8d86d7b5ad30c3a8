import { jsonFlag, runCommand } from '../../lake/base/command.ts';
import { FirnError } from '../../lake/base/errors.ts';
import { checkFolder } from '../../lake/base/preflight.ts';
import { gatewaySettings, idByDefault, loadGatewayConfig } from '../config.ts';
import { enrollOnce } from '../fleet/enroll.ts';
import { identityFolder, readIdentity } from '../fleet/identity.ts';
import { lockFolder } from '../folder-lock.ts';

const command = {
  name: 'firn enroll',
  about:
    'Enrolls this device with a claim; a gateway that is started with --cloud-claim does it by itself. The key is made here and stays in the data folder.',
  flags: [
    {
      ...{ flag: '--claim', value: 'CLAIM', required: true },
      description: 'As `firn claims create` printed it, or what its QR code says',
    },
    jsonFlag,
  ],
  positionals: [],
  settings: gatewaySettings,
};

export function main(argv: readonly string[]): Promise<number> {
  return runCommand(command, argv, async (line) => {
    const { dataDir, cloud, proxy, identity, gateway: named } = loadGatewayConfig(line.rest);
    checkFolder(dataDir, '--data-dir');
    using _lock = lockFolder(dataDir);
    const known = readIdentity(identityFolder(dataDir));
    if (known !== undefined)
      throw new FirnError({
        ...{ code: 'conflict', operation: 'enroll', subject: dataDir },
        message: `this device is gateway ${known.gateway} of tenant ${known.tenant} already`,
        hint: `to make it another, move ${identityFolder(dataDir)} away first`,
      });
    const { url, tenant, site, gateway } = await enrollOnce({
      ...{ dataDir, cloud: { ...cloud, proxy }, claim: line.value('--claim') ?? '' },
      gateway: named === idByDefault ? undefined : named,
      keyStore: identity.keyStore,
    });
    process.stdout.write(
      line.isSet('--json')
        ? `${JSON.stringify({ url, tenant, site, gateway })}\n`
        : `this device is gateway ${gateway} of tenant ${tenant}, at site ${site}\n`,
    );
    return 0;
  });
}
