import { join } from 'node:path';
import { type Command, jsonFlag, runCommand } from '../../lake/base/command.ts';
import { loadOrMakeSigner, type Signer } from '../../lake/bundle/signing-key.ts';
import { cloudSettings, loadCloudConfig } from '../config.ts';

const command: Command = {
  name: 'firn ship cloud-key',
  about: 'In the cloud: prints the public key that signs receipts, for `firn ship trust-cloud` on a gateway.',
  flags: [jsonFlag],
  positionals: [],
  settings: cloudSettings,
};

export function main(argv: readonly string[]): Promise<number> {
  return runCommand(command, argv, async (line) => {
    const { dataDir } = loadCloudConfig(line.rest);
    const { pem, fingerprint } = (await receiptSigner(dataDir)).publicKey;
    process.stderr.write(`key ${fingerprint} of the cloud (${receiptKeyFile(dataDir)})\n`);
    process.stdout.write(line.isSet('--json') ? `${JSON.stringify({ publicKey: pem, fingerprint })}\n` : pem);
    return 0;
  });
}

const receiptKeyFile = (dataDir: string): string => join(dataDir, 'receipt-key.pem');

export const receiptSigner = (dataDir: string): Promise<Signer> => loadOrMakeSigner(receiptKeyFile(dataDir));
