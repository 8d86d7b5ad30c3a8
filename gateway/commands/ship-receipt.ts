import { readFile, stat } from 'node:fs/promises';
import { type Command, jsonFlag, runCommand } from '../../lake/base/command.ts';
import { receiptFileBytesMax } from '../../lake/bundle/receipt-file.ts';
import { gatewaySettings, loadGatewayConfig } from '../config.ts';
import { gatewayUrlFlag, openSource } from './open-source.ts';
import { receiptText } from './receipt-text.ts';

const command: Command = {
  name: 'firn ship receipt',
  about:
    'On a gateway: takes a receipt that `firn ship import` has written, wherever it comes from. What it covers is kept for the local retention and then removed.',
  flags: [gatewayUrlFlag, jsonFlag],
  positionals: ['FILE'],
  settings: gatewaySettings,
};

export function main(argv: readonly string[]): Promise<number> {
  return runCommand(command, argv, async (line) => {
    const [file = ''] = line.positionals;
    const tooLarge = (await stat(file)).size > receiptFileBytesMax;
    await using stack = new AsyncDisposableStack();
    const source = await openSource(loadGatewayConfig(line.rest), line.value('--gateway-url'), stack);
    const receipt = await source.applyReceiptFile(tooLarge ? '' : await readFile(file, 'utf8'));
    process.stdout.write(`${line.isSet('--json') ? JSON.stringify(receipt) : receiptText(receipt)}\n`);
    return receipt.outcome === 'foreign' ? 1 : 0;
  });
}
