import { systemClock } from '../../lake/base/clock.ts';
import { type Command, runCommand } from '../../lake/base/command.ts';
import { listen, liveFlags, refused } from './live-broker.ts';

// `firn mqtt capture`.

const command: Command = {
  name: 'firn mqtt capture',
  about: 'Prints the messages of a broker, one JSON object a line, for firn mqtt dry-run --capture.',
  flags: liveFlags,
  positionals: [],
  settings: [],
};

export async function main(argv: readonly string[]): Promise<number> {
  return runCommand(command, argv, async (line) => {
    if (line.value('--broker') === undefined)
      throw refused('--broker', '--broker is missing', 'give --broker URL');
    // Whoever read it has had enough, as `head`.
    process.stdout.on('error', () => process.exit(0));
    await listen(line, (topic, payload, retain) => {
      const tst = new Date(systemClock.nowMs()).toISOString();
      const message = { tst, topic, retain, payloadBase64: Buffer.from(payload).toString('base64') };
      process.stdout.write(`${JSON.stringify(message)}\n`);
    });
    return 0;
  });
}
