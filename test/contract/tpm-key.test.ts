import { spawnSync } from 'node:child_process';
import { createPublicKey, verify } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { makeCertificateRequest } from '../../gateway/fleet/certificate-request.ts';
import { makeKey, readKeyFile } from '../../gateway/fleet/device-key.ts';
import { readCertificateRequest } from '../../provisioning/certificate-request.ts';
import { freePort, startProgram, waitForPort } from '../harness/process.ts';

const folder = mkdtempSync(join(tmpdir(), 'firn-tpm-test-'));
const before = { tcti: process.env.TPM2TOOLS_TCTI, path: process.env.PATH };
afterEach(() => {
  process.env.PATH = before.path;
});
afterAll(() => rmSync(folder, { recursive: true }));

const has = (program: string): boolean => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;

/** A TPM by software, on a free port and the one after it; dispose ends it, its state stays. */
async function startTpm(name: string): Promise<AsyncDisposable> {
  const state = join(folder, name);
  mkdirSync(state, { recursive: true });
  const port = await freePort();
  const program = startProgram('swtpm', [
    ...['socket', '--tpm2', '--tpmstate', `dir=${state}`, '--flags', 'not-need-init,startup-clear'],
    ...['--server', `type=tcp,port=${port},disconnect`, '--ctrl', `type=tcp,port=${port + 1}`],
  ]);
  await waitForPort(port + 1);
  process.env.TPM2TOOLS_TCTI = `swtpm:host=127.0.0.1,port=${port}`;
  return program;
}

describe.skipIf(!has('swtpm') || !has('tpm2_sign'))('a TPM by software', () => {
  const path = join(folder, 'device.key');
  let tpm: AsyncDisposable;
  beforeAll(async () => {
    tpm = await startTpm('own');
    await makeKey(path, 'tpm2');
  });
  afterAll(async () => {
    await tpm[Symbol.asyncDispose]();
    if (before.tcti === undefined) delete process.env.TPM2TOOLS_TCTI;
    else process.env.TPM2TOOLS_TCTI = before.tcti;
  });

  test('makes a key that signs as one in a file does, and never shows it', async () => {
    const key = readKeyFile(path);
    expect(key.keyStore).toBe('tpm2');
    const request = await readCertificateRequest(await makeCertificateRequest(key));
    expect(Buffer.from(request.publicKey)).toEqual(key.publicKey);
    const spki = createPublicKey({ key: key.publicKey, format: 'der', type: 'spki' });
    // The numbers of a signature are shorter now and then.
    for (const size of [0, 100, 20_000]) {
      const message = Buffer.alloc(size, 'x');
      const signature = await key.sign(message);
      expect(verify('sha256', message, { key: spki, dsaEncoding: 'ieee-p1363' }, signature)).toBe(true);
    }
    expect(readFileSync(path, 'utf8')).not.toMatch(/PRIVATE KEY/);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test('signs after it was switched off, and no other can', async () => {
    const key = readKeyFile(path);
    await tpm[Symbol.asyncDispose]();
    {
      await using _other = await startTpm('other');
      await expect(key.sign(Buffer.from('x'))).rejects.toThrow('or is refused by it');
    }
    tpm = await startTpm('own');
    expect(await key.sign(Buffer.from('x'))).toHaveLength(64);
  });

  test('that is gone is named', async () => {
    await tpm[Symbol.asyncDispose]();
    await expect(makeKey(join(folder, 'none.key'), 'tpm2')).rejects.toThrow(
      /tpm2_\w+ does not reach the TPM/,
    );
  });
});

test('without its programs the setting says what is missing', async () => {
  process.env.PATH = folder;
  await expect(makeKey(join(folder, 'none.key'), 'tpm2')).rejects.toThrow(
    /identity.keyStore: tpm2 needs the program tpm2_\w+, which is not installed/,
  );
});
