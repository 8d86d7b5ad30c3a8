import { mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Command, jsonFlag, runCommand } from '../../lake/base/command.ts';
import { parsePublicKey } from '../../lake/bundle/signing-key.ts';
import { writeFileDurably } from '../../lake/bundle/stick.ts';
import { gatewaySettings, loadGatewayConfig } from '../config.ts';
import { cloudKeyFile } from '../ship/export/bundle-source.ts';

const command: Command = {
  name: 'firn ship trust-cloud',
  about:
    'On a gateway: takes receipts that this key has signed, and no others. What a receipt covers may be deleted here, so compare the key with what `firn ship cloud-key` prints in the cloud.',
  flags: [jsonFlag],
  positionals: ['PUBKEY_FILE'],
  settings: gatewaySettings,
};

export function main(argv: readonly string[]): Promise<number> {
  return runCommand(command, argv, async (line) => {
    const { dataDir } = loadGatewayConfig(line.rest);
    const [file = ''] = line.positionals;
    const { pem, fingerprint } = parsePublicKey(await readFile(file, 'utf8'), file);
    await mkdir(dirname(cloudKeyFile(dataDir)), { recursive: true, mode: 0o700 });
    await writeFileDurably(cloudKeyFile(dataDir), pem);
    const text = `receipts that are signed by the key ${fingerprint} are taken`;
    process.stdout.write(`${line.isSet('--json') ? JSON.stringify({ fingerprint }) : text}\n`);
    return 0;
  });
}
