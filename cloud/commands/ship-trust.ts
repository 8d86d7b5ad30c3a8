import { readFileSync } from 'node:fs';
import { type Command, jsonFlag, runCommand } from '../../lake/base/command.ts';
import { parsePublicKey } from '../../lake/bundle/signing-key.ts';
import { newGatewayId, tenantId } from '../../lake/model/ids.ts';
import { cloudSettings, loadCloudConfig } from '../config.ts';
import { openGatewayKeys } from '../tenants/gateway-keys.ts';

const command: Command = {
  name: 'firn ship trust',
  about:
    'In the cloud: takes the bundles that this key has signed as those of the gateway. A gateway has one key; another one replaces it.',
  flags: [
    { flag: '--tenant', value: 'TENANT', required: true, description: 'Tenant of the gateway' },
    { flag: '--gateway', value: 'GATEWAY', required: true, description: 'Id of the gateway' },
    jsonFlag,
  ],
  positionals: ['PUBKEY_FILE'],
  settings: cloudSettings,
};

export function main(argv: readonly string[]): Promise<number> {
  return runCommand(command, argv, async (line) => {
    const { dataDir } = loadCloudConfig(line.rest);
    const [file = ''] = line.positionals;
    const tenant = tenantId(line.value('--tenant') ?? '');
    const gateway = newGatewayId(line.value('--gateway') ?? '');
    const key = parsePublicKey(readFileSync(file, 'utf8'), file);
    const replaced = openGatewayKeys(dataDir).trust(tenant, gateway, key);
    const { fingerprint } = key;
    const json = { tenant, gateway, fingerprint, replaced: replaced?.fingerprint ?? null };
    const instead = replaced ? ` instead of ${replaced.fingerprint}` : '';
    const text = `key ${fingerprint} is trusted for gateway ${gateway} of tenant ${tenant}${instead}`;
    process.stdout.write(`${line.isSet('--json') ? JSON.stringify(json) : text}\n`);
    return 0;
  });
}
