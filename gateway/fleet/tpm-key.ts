import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';
import { FirnError, messageOf } from '../../lake/base/errors.ts';
import { writeSecretFile } from '../../lake/base/secret-file.ts';
import type { DeviceKey } from './device-key.ts';

// A key that is made in a TPM 2.0 and can be used in that one alone: what stands in the file is encrypted by it. By the
// commands of tpm2-tools, which find the TPM by themselves (/dev/tpmrm0), or by TPM2TOOLS_TCTI. A signature takes some
// processes, and a gateway signs once an hour.

const fileSchema = z.strictObject({
  keyStore: z.literal('tpm2'),
  /** SPKI, DER. */
  publicKey: z.base64(),
  /** The two parts of the key as TPM2_Create gives them. */
  tpmPublic: z.base64(),
  tpmPrivate: z.base64(),
});
type TpmFile = z.infer<typeof fileSchema>;

const execute = promisify(execFile);
const timeoutMs = 60_000;

/** The primary key of the storage hierarchy: the same each time, since it follows from the TPM's own seed. */
const primary = 'tpm2_createprimary -Q -C o -g sha256 -G ecc256 -c primary.ctx';
/** Its memory holds few objects, and not each TPM has somebody who clears it. */
const clear = 'tpm2_flushcontext -t';
const load = ['tpm2_load -Q -C primary.ctx -u key.pub -r key.priv -c key.ctx', clear];
const attributes = 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign';
const create = `tpm2_create -Q -C primary.ctx -g sha256 -G ecc256:ecdsa-sha256 -u key.pub -r key.priv -a ${attributes}`;
const makeSteps = [
  ...[clear, primary, create, clear, primary, ...load],
  ...['tpm2_readpublic -Q -c key.ctx -f der -o spki.der', clear],
];
const signSteps = [
  ...[clear, primary, ...load],
  ...['tpm2_sign -Q -c key.ctx -g sha256 -f plain -o signature message', clear],
];

/** Makes a key. Throws FirnError `unsupported` without the programs, `unavailable` without a TPM. */
export async function makeTpmKey(path: string): Promise<DeviceKey> {
  const file = await inFolder(async (work) => {
    await runAll(makeSteps, work);
    const read = (name: string): string => readFileSync(join(work, name)).toString('base64');
    const keyStore = 'tpm2' as const;
    return {
      keyStore,
      publicKey: read('spki.der'),
      tpmPublic: read('key.pub'),
      tpmPrivate: read('key.priv'),
    };
  });
  writeSecretFile(path, `${JSON.stringify(file, null, 2)}\n`);
  return keyOf(file);
}

/** Of the text of a key file. Throws what is wrong with it. */
export const parseTpmKey = (text: string): DeviceKey => keyOf(fileSchema.parse(JSON.parse(text)));

const keyOf = (file: TpmFile): DeviceKey => ({
  keyStore: 'tpm2',
  publicKey: Buffer.from(file.publicKey, 'base64'),
  sign: (bytes) => signWith(file, bytes),
});

const signWith = ({ tpmPublic, tpmPrivate }: TpmFile, message: Uint8Array): Promise<Uint8Array> =>
  inFolder(async (work) => {
    writeFileSync(join(work, 'key.pub'), Buffer.from(tpmPublic, 'base64'));
    writeFileSync(join(work, 'key.priv'), Buffer.from(tpmPrivate, 'base64'));
    writeFileSync(join(work, 'message'), message);
    await runAll(signSteps, work);
    return sideBySide(readFileSync(join(work, 'signature')));
  });

async function inFolder<T>(run: (work: string) => Promise<T>): Promise<T> {
  const work = mkdtempSync(join(tmpdir(), 'firn-tpm-'));
  try {
    return await run(work);
  } finally {
    rmSync(work, { recursive: true });
  }
}

async function runAll(steps: readonly string[], cwd: string): Promise<void> {
  for (const step of steps) {
    const [program = '', ...args] = step.split(' ');
    await execute(program, args, { cwd, timeout: timeoutMs }).catch((cause: unknown) => {
      throw failed(program, cause);
    });
  }
}

/** The two numbers of a DER signature (SEQUENCE of two INTEGERs), 32 bytes each. */
function sideBySide(der: Buffer): Uint8Array {
  const both = Buffer.alloc(64);
  let at = 2;
  for (const end of [32, 64]) {
    const length = der[at + 1] ?? 0;
    const digits = der.subarray(at + 2, at + 2 + length).subarray(Math.max(0, length - 32));
    digits.copy(both, end - digits.length);
    at += 2 + length;
  }
  return both;
}

function failed(program: string, cause: unknown): FirnError {
  const { code, stderr = '' } = cause as { readonly code?: unknown; readonly stderr?: string };
  const common = { operation: 'use the TPM', subject: 'identity.keyStore', cause };
  if (code === 'ENOENT')
    return new FirnError({
      ...{ ...common, code: 'unsupported' },
      message: `identity.keyStore: tpm2 needs the program ${program}, which is not installed`,
      hint: 'install the package tpm2-tools, or use identity.keyStore: file',
    });
  const [why = messageOf(cause)] = stderr
    .trim()
    .split('\n')
    .filter((line) => /ERROR/.test(line));
  return new FirnError({
    ...{ ...common, code: 'unavailable', answered: false },
    message: `identity.keyStore: ${program} does not reach the TPM, or is refused by it: ${why}`,
    hint: 'is there /dev/tpmrm0, and may this user open it? TPM2TOOLS_TCTI names another; a key works in the TPM alone that made it',
  });
}
