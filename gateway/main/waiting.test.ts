import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { systemClock } from '../../lake/base/clock.ts';
import { createLogger } from '../../lake/base/log.ts';
import { openServerTls } from '../../lake/base/server-tls.ts';
import { type AskGateway, healthChecks } from '../appliance/checks.ts';
import { type EnrollmentState, printEnrollment } from '../fleet/enrollment-state.ts';
import { keepSiteCertificate } from '../security/certificate.ts';
import { startWaitingServer } from './waiting.ts';

const failuresAt = async (httpPort: number, dataDir: string): Promise<string[]> => {
  const ask: AskGateway = (path, init) => fetch(`http://127.0.0.1:${httpPort}${path}`, init);
  const checks = healthChecks({ mqttPort: 1, ask, dataDir, shipped: () => undefined });
  const signal = AbortSignal.timeout(10_000);
  const results = await Promise.allSettled(checks.map(({ run }) => run(signal)));
  return results.flatMap(({ status }, index) => (status === 'rejected' ? [checks[index]?.name ?? ''] : []));
};

test('a gateway that waits for its enrollment is healthy; one that is gone is not', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'firn-checks-'));
  const state = { kind: 'waiting' as const, url: 'https://lake.example.com', isReached: true };
  const server = await startWaitingServer({ host: '127.0.0.1', port: 0 }, () => state);
  expect(await failuresAt(server.port, dataDir)).toEqual([]);
  await server[Symbol.asyncDispose]();
  expect((await failuresAt(server.port, dataDir)).slice(0, 3)).toEqual([
    ...['the MQTT broker answers', 'what is sent is stored', 'a query is answered'],
  ]);
  rmSync(dataDir, { recursive: true });
});

const waiting = { kind: 'waiting' as const, url: 'https://lake.example.com', isReached: false };
const code = 'ABCD1234EFGH5678';

test.each<[string, EnrollmentState, readonly string[]]>([
  [
    'a claim',
    waiting,
    ['It enrolls with its claim.', 'The cloud at https://lake.example.com was not asked yet.'],
  ],
  [
    'a claim that is refused',
    { ...waiting, code, isReached: true, claimRefused: 'used' },
    ['ABCD-1234-EFGH-5678', 'Its claim was refused: used', 'waits for its adoption'],
  ],
  ['no network', { ...waiting, code, problem: 'no route' }, ['ABCD-1234-EFGH-5678', 'no route']],
])('%s is said on the page and on the console', async (_, state, texts) => {
  await using server = await startWaitingServer({ host: '127.0.0.1', port: 0 }, () => state);
  const page = await (await fetch(`http://127.0.0.1:${server.port}/`)).text();
  for (const text of texts) {
    expect(page).toContain(text);
    expect(printEnrollment(state)).toContain(text);
  }
});

test('what others say is text on the page; the picture fits on a console of 80 by 25', async () => {
  const state = { ...waiting, code, problem: '<script>alert(1)</script>' };
  await using server = await startWaitingServer({ host: '127.0.0.1', port: 0 }, () => state);
  expect(await (await fetch(`http://127.0.0.1:${server.port}/`)).text()).not.toContain('<script>');
  const lines = printEnrollment(state).split('\n');
  expect(lines.length).toBeLessThanOrEqual(25);
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(80);
});

test('the page answers over TLS, too, with the certificate that the gateway will have', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'firn-waiting-'));
  const logger = createLogger('error', () => {});
  const options = { dataDir, gateway: 'press', names: [], clock: systemClock, logger };
  await using certificate = await keepSiteCertificate(options);
  const tls = openServerTls(certificate, logger);
  await using server = await startWaitingServer({ host: '127.0.0.1', port: 0, tls }, () => ({
    ...waiting,
    code,
  }));
  const ca = readFileSync(certificate.caFile);
  const [answer] = (await once(get({ host: '127.0.0.1', port: server.port, ca }), 'response')) as [
    IncomingMessage,
  ];
  expect(Buffer.concat(await answer.toArray()).toString()).toContain('ABCD-1234-EFGH-5678');
  rmSync(dataDir, { recursive: true });
});
