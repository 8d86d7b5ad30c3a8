import { type Command, jsonFlag, runCommand } from '../../lake/base/command.ts';
import { loadOrMakeSigner } from '../../lake/bundle/signing-key.ts';
import { gatewaySettings, loadGatewayConfig } from '../config.ts';
import { shipKeyFile } from '../ship/export/bundle-source.ts';

const command: Command = {
  name: 'firn ship key',
  about: 'On a gateway: prints the public key that signs its bundles, for `firn ship trust` in the cloud.',
  flags: [jsonFlag],
  positionals: [],
  settings: gatewaySettings,
};

export function main(argv: readonly string[]): Promise<number> {
  return runCommand(command, argv, async (line) => {
    const { dataDir, tenant, gateway } = loadGatewayConfig(line.rest);
    const { pem, fingerprint } = (await loadOrMakeSigner(shipKeyFile(dataDir))).publicKey;
    process.stderr.write(
      `key ${fingerprint} of gateway ${gateway}, tenant ${tenant} (${shipKeyFile(dataDir)})\n`,
    );
    const json = { tenant, gateway, publicKey: pem, fingerprint };
    process.stdout.write(line.isSet('--json') ? `${JSON.stringify(json)}\n` : pem);
    return 0;
  });
}
