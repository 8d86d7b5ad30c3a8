import assert from 'node:assert';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { run } from '../harness/firn.ts';
import { waitFor } from '../harness/process.ts';
import { type HostCloud, startCloud } from './cloud.ts';
import { deviceDisk, execute } from './device.ts';
import { startMachine } from './machine.ts';
import type { Context } from './main.ts';
import { takePage, takeScreen } from './screen.ts';

const program = join(import.meta.dirname, '../../cli/main.ts');

/**
 * One file for a whole fleet, as `firn gateways site-file` prints it: the device shows a code on its console and its page, a
 * person gives it to the cloud, and the device is a gateway. It asks for what it has made itself: certificate, user, password.
 * Screen and page are pictures in `pictures`, a folder; absent: none are taken.
 */
export async function adoptionScenario(context: Context, pictures?: string): Promise<void> {
  const { architecture, work, say } = context;
  await using stack = new AsyncDisposableStack();
  const firn = commands(stack.use(await startCloud(work)));
  const disk = await deviceDisk(context, await firn('gateways', 'site-file'));
  const control = join(work, 'control.sock');
  const machine = await startMachine({ architecture, work, disk: { file: disk }, screen: control });
  stack.defer(() => machine.kill());

  const [, code = ''] = await machine.waitFor(/Its code: {2}((?:[0-9A-Z]{4}-){3}[0-9A-Z]{4})/, 900_000);
  await machine.waitFor(/waits for its adoption/, 600_000);
  const [, user = '', password = ''] = await machine.waitFor(/user (\S+), password (\S+),/, 60_000);
  assert.match(machine.console(), /[\u2580-\u2588]|\u00e2\u0096/, 'a QR code');
  const page = `https://127.0.0.1:${machine.httpPort}/`;
  assert.match(await curl(page), new RegExp(code));
  say(`the console and the page show ${code}`);
  if (pictures !== undefined) {
    await delay(3000);
    await takeScreen(control, join(pictures, 'console.png'));
  }

  assert.match(await firn('gateways', 'pending', '--code', code), /not adopted/);
  const began = Date.now();
  await firn('gateways', 'adopt', code, '--site', 'plant-7', '--gateway', 'press');
  await machine.waitFor(/gateway press of tenant demo, site plant-7/, 600_000);
  say(`a gateway ${((Date.now() - began) / 1000).toFixed(0)} s after it was adopted`);
  await waitFor('its doors', 300_000, async () => (await curl(`${page}ready`)) === 'ready\n' || undefined);

  const login = ['-u', user, '-P', password];
  const to = [
    '-h',
    '127.0.0.1',
    '-p',
    String(machine.mqttPort),
    '-q',
    '1',
    '-t',
    'plant-7/press/temperature',
  ];
  await execute('mosquitto_pub', [...to, ...login, '-m', '21.5'], { timeout: 60_000 });
  const asked = `${page}api/v1/query?query=temperature`;
  const found = JSON.parse(await curl(asked, '-u', `${user}:${password}`));
  assert.deepStrictEqual(
    found.data.result.map(({ metric, value }: { metric: Record<string, string>; value: unknown[] }) => [
      metric.site,
      metric.gateway,
      value[1],
    ]),
    [['plant-7', 'press', '21.5']],
  );
  assert.strictEqual(await curl(asked, '--output', '/dev/null', '--write-out', '%{http_code}'), '401');
  say('the value is there for the user that the console shows, over TLS; nobody else is let in');
  assert.match(await firn('gateways', 'list'), /press +plant-7/);
  if (pictures !== undefined) {
    await delay(20_000); // the page shows readings of every few seconds
    await takePage(machine.httpPort, { user, password }, join(pictures, 'page.png'));
  }
}

/** Runs `firn` for a cloud, and gives what it prints. */
function commands({ port, key: { id, secret } }: HostCloud) {
  const env = { FIRN_URL: `http://127.0.0.1:${port}`, FIRN_KEY: `${id}:${secret}` };
  return async (...argv: string[]): Promise<string> => {
    const { code, stdout, stderr } = await run(process.execPath, [program, ...argv, '--tenant', 'demo'], env);
    if (code !== 0) throw new Error(stderr);
    return stdout;
  };
}

const curl = async (url: string, ...flags: string[]): Promise<string> =>
  (await execute('curl', ['--silent', '--insecure', '--max-time', '120', ...flags, url])).stdout;
