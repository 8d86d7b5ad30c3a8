import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runFirn, temporaryFolder } from '../harness/firn.ts';
import { freePort as takeFreePort } from '../harness/process.ts';

// What a process says when it can't run: one clear line, exit code 1, and nothing has been opened.

const folder = temporaryFolder();
const busy = createServer();
let busyPort = 0;
let freePort = 0;

beforeAll(async () => {
  await new Promise<void>((resolve) => busy.listen(0, '127.0.0.1', resolve));
  const address = busy.address();
  busyPort = typeof address === 'object' && address !== null ? address.port : 0;
  freePort = await takeFreePort();
  writeFileSync(join(folder.path, 'a-file'), '');
  writeFileSync(join(folder.path, 'typo.yaml'), 'mqtt:\n  prot: 1883\n');
  writeFileSync(join(folder.path, 'broken.yaml'), 'mqtt: [\n');
  mkdirSync(join(folder.path, 'data'));
});
afterAll(() => {
  busy.close();
  folder[Symbol.dispose]();
});

const data = (): string[] => ['--data-dir', join(folder.path, 'data')];
const ports = [
  ...['--mqtt-web-socket-port', '0', '--http-port', '0', '--pgwire-port', '0'],
  ...['--otlp-http-port', '0', '--otlp-grpc-port', '0'],
];

test.each([
  [
    'a busy port',
    () => ['gateway', ...data(), ...ports, '--mqtt-port', `${busyPort}`],
    /^firn gateway: port \d+ is in use on 127\.0\.0\.1\n {2}choose another with --mqtt-port PORT/,
  ],
  [
    'a busy port of start',
    () => ['start', ...data(), '--cloud-pg-port', `${busyPort}`, '--mqtt-port', '0'],
    /^firn start: port \d+ is in use/,
  ],
  [
    'one port for two listeners',
    () => [
      'gateway',
      ...data(),
      '--mqtt-web-socket-port',
      '0',
      '--mqtt-port',
      '0',
      '--http-port',
      `${freePort}`,
      '--pgwire-port',
      `${freePort}`,
    ],
    /^firn gateway: port \d+ is given twice, by --http-port and --pgwire-port/,
  ],
  [
    'a folder that is a file',
    () => ['gateway', ...ports, '--mqtt-port', '0', '--data-dir', join(folder.path, 'a-file')],
    /^firn gateway: the folder .*a-file can't be written/,
  ],
  [
    'a folder below a file',
    () => [
      'cloud',
      '--data-dir',
      join(folder.path, 'a-file', 'x'),
      '--store-kind',
      'directory',
      '--store-path',
      folder.path,
    ],
    /^firn cloud: the folder .* can't be written/,
  ],
  [
    'an unknown flag',
    () => ['gateway', '--mqtt-prot', '1'],
    /^firn gateway: --mqtt-prot: there is no such flag/,
  ],
  [
    'an unknown field',
    () => ['gateway', '--config', join(folder.path, 'typo.yaml')],
    /^firn gateway: mqtt: Unrecognized key: "prot"/,
  ],
  [
    'a broken config file',
    () => ['cloud', '--config', join(folder.path, 'broken.yaml')],
    /^firn cloud: .*broken\.yaml: /,
  ],
  [
    'a port that is none',
    () => ['gateway', '--http-port', '99999'],
    /^firn gateway: http\.port: .*\n {2}set it by --http-port, FIRN_GATEWAY_HTTP_PORT/,
  ],
  [
    'an open address',
    () => ['cloud', '--listen-host', '0.0.0.0'],
    /^firn cloud: listen\.host: 0\.0\.0\.0 can be reached by others/,
  ],
  [
    'a store without its bucket',
    () => ['cloud', '--store-kind', 's3'],
    /^firn cloud: store\.bucket: a store of kind s3 needs it/,
  ],
  ['an unknown command', () => ['gatewy'], /^firn: there is no command "gatewy"/],
])('%s', async (_, argv, message) => {
  const result = await runFirn(...argv());
  expect(result.code).toBe(1);
  expect(result.stderr).toMatch(message);
  expect(result.stderr).not.toMatch(/\n\s+at /);
  expect(result.stdout).toBe('');
});

test.each(['start', 'gateway', 'cloud'])('firn %s --help shows its flags', async (command) => {
  const result = await runFirn(command, '--help');
  expect(result).toMatchObject({ code: 0, stderr: '' });
  expect(result.stdout).toContain(`usage: firn ${command}`);
  expect(result.stdout).toContain('--data-dir');
});
