import { mkdirSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { execute, healthy, personalisedDisk, publish } from './device.ts';
import { startMachine } from './machine.ts';
import type { Context } from './main.ts';

const pictures = join(import.meta.dirname, '../../firmware-images/pictures');

/** Takes the pictures of firmware-images/README.md: the screen of a device, and its page in a browser (Chromium). */
export async function pictureScenario(context: Context): Promise<void> {
  const { architecture, work, say } = context;
  mkdirSync(pictures, { recursive: true });
  const disk = await personalisedDisk(context);
  const control = join(work, 'control.sock');
  const machine = await startMachine({ architecture, work, disk: { file: disk }, screen: control });
  try {
    await healthy(machine);
    for (const value of [21.5, 21.7]) await publish(machine, 'plant-7/press/temperature', String(value));
    await takeScreen(control, join(pictures, 'console.png'));
    say('console.png');
    await delay(20_000); // the page shows readings of every few seconds
    const page = join(pictures, 'page.png');
    const url = `http://127.0.0.1:${machine.httpPort}/`;
    const size = ['--window-size=800,640', '--hide-scrollbars', '--force-color-profile=srgb'];
    await execute('chromium', ['--headless', '--no-sandbox', `--screenshot=${page}`, ...size, url]);
    say('page.png');
  } finally {
    await machine.kill();
  }
}

/** Asks QEMU's control socket for the content of the screen. Source: QEMU Machine Protocol Reference, `screendump`. */
async function takeScreen(socket: string, path: string): Promise<void> {
  const connection = connect(socket);
  const lines = createInterface({ input: connection });
  let answers = 0;
  const ask = (execute: string, args?: object): void =>
    void connection.write(`${JSON.stringify({ execute, ...(args && { arguments: args }) })}\n`);
  try {
    for await (const line of lines) {
      const said = JSON.parse(line) as { QMP?: object; return?: object; error?: { desc: string } };
      if (said.error) throw new Error(`screendump: ${said.error.desc}`);
      if (said.QMP) {
        ask('qmp_capabilities');
        ask('screendump', { filename: path, format: 'png' });
      } else if (said.return && ++answers === 2) return;
    }
  } finally {
    connection.destroy();
  }
}
