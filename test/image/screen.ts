import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { execute } from './device.ts';

// What a person sees of a device: its screen, and its page in a browser.

/** Asks QEMU's control socket for the content of the screen, as PNG. Source: QEMU Machine Protocol Reference, `screendump`. */
export async function takeScreen(socket: string, path: string): Promise<void> {
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

/** The device's page in Chromium, as PNG. */
export async function takePage(
  httpPort: number,
  login: { readonly user: string; readonly password: string },
  path: string,
): Promise<void> {
  const url = `https://${login.user}:${login.password}@127.0.0.1:${httpPort}/`;
  const size = ['--window-size=800,640', '--hide-scrollbars', '--force-color-profile=srgb'];
  const flags = [
    '--headless',
    '--no-sandbox',
    '--ignore-certificate-errors',
    `--screenshot=${path}`,
    ...size,
  ];
  await execute('chromium', [...flags, url]);
}
