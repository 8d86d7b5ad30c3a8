import { X509Certificate } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '../../lake/base/clock.ts';
import { createLogger } from '../../lake/base/log.ts';
import { keepSiteCertificate } from './certificate.ts';

const dataDir = mkdtempSync(join(tmpdir(), 'firn-certificate-'));
beforeAll(() => void mkdirSync(join(dataDir, 'security')));
afterAll(() => rmSync(dataDir, { recursive: true }));

const dayMs = 86_400_000;
const startMs = Date.UTC(2026, 0, 1);
const at = (name: string): string => readFileSync(join(dataDir, 'security', name), 'utf8');

/** What a start finds and makes, so many days after the first. */
async function startAfter(days: number, names: string[] = ['localhost', '10.0.0.5', 'fd00::2']) {
  const clock = { ...systemClock, nowMs: () => startMs + days * dayMs };
  await using kept = await keepSiteCertificate({
    ...{ dataDir, gateway: 'gw-1', names: ['press.plant'], clock, logger: createLogger('silent') },
    namesOfMachine: () => names,
  });
  return new X509Certificate(readFileSync(kept.certFile));
}

test('made once, renewed with its key when its time or its names call for it, by an authority that stays', async () => {
  const first = await startAfter(0);
  const [ca, key] = [at('ca.crt'), at('site.key')];
  const authority = new X509Certificate(ca);
  for (const name of ['localhost', 'press.plant']) expect(first.checkHost(name)).toBe(name);
  for (const address of ['10.0.0.5', 'fd00::2']) expect(first.checkIP(address)).toBe(address);
  expect(first.checkIssued(authority) && first.verify(authority.publicKey)).toBe(true);
  expect([authority.ca, first.ca]).toEqual([true, false]);
  expect((await startAfter(200)).serialNumber).toBe(first.serialNumber);
  const renewed = await startAfter(270);
  expect(renewed.serialNumber).not.toBe(first.serialNumber);
  expect(renewed.validToDate.getTime()).toBeGreaterThan(first.validToDate.getTime());
  const moved = await startAfter(271, ['localhost', '10.0.0.6']);
  expect([moved.checkIP('10.0.0.6'), moved.checkIP('10.0.0.5')]).toEqual(['10.0.0.6', undefined]);
  // An address that goes is no reason; a clock that was ahead is.
  expect((await startAfter(272, ['localhost'])).serialNumber).toBe(moved.serialNumber);
  expect((await startAfter(-5000)).validFromDate.getTime()).toBeLessThan(startMs);
  expect([at('ca.crt'), at('site.key')]).toEqual([ca, key]);
});

test('a certificate that was cut off is made again, and an authority without its key is another', async () => {
  const before = await startAfter(0);
  writeFileSync(join(dataDir, 'security', 'site.crt'), at('site.crt').slice(0, 100));
  expect((await startAfter(0)).serialNumber).not.toBe(before.serialNumber);
  const ca = at('ca.crt');
  rmSync(join(dataDir, 'security', 'ca.key'));
  const after = await startAfter(0);
  expect(at('ca.crt')).not.toBe(ca);
  expect(after.verify(new X509Certificate(at('ca.crt')).publicKey)).toBe(true);
});
