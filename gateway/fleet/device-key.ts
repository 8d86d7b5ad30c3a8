import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { FirnError, messageOf } from '../../lake/base/errors.ts';
import { isP256 } from '../../lake/base/jws.ts';
import { writeSecretFile } from '../../lake/base/secret-file.ts';
import { makeTpmKey, parseTpmKey } from './tpm-key.ts';

/** file: readable by its owner alone. tpm2: usable in the TPM alone that made it. */
export type KeyStore = 'file' | 'tpm2';

/** The key that makes a device the gateway it is. It never leaves where it is kept: a file, or a chip behind this port. */
export interface DeviceKey {
  readonly keyStore: KeyStore;
  /** SPKI, DER. */
  readonly publicKey: Buffer;
  /** ECDSA P-256 with SHA-256; the two numbers side by side, 64 bytes. */
  sign(bytes: Uint8Array): Promise<Uint8Array>;
}

/** Makes a key, and the file by which it is found again. Throws FirnError as the TPM does. */
export async function makeKey(path: string, keyStore: KeyStore): Promise<DeviceKey> {
  if (keyStore === 'tpm2') return makeTpmKey(path);
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  writeSecretFile(path, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
  return keyOf(privateKey);
}

/** Throws FirnError `corrupt`. */
export function readKeyFile(path: string): DeviceKey {
  try {
    const text = readFileSync(path, 'utf8');
    if (text.startsWith('{')) return parseTpmKey(text);
    const key = createPrivateKey(text);
    if (!isP256(key)) throw new Error('it is not an ECDSA key on P-256');
    return keyOf(key);
  } catch (cause) {
    throw new FirnError({
      ...{ code: 'corrupt', operation: 'read device key', subject: path, cause },
      message: `the device key ${path} can't be read: ${messageOf(cause)}`,
      hint: 'restore it, or remove its folder and enroll again with a claim for this gateway',
    });
  }
}

const keyOf = (key: KeyObject): DeviceKey => ({
  keyStore: 'file',
  publicKey: createPublicKey(key).export({ type: 'spki', format: 'der' }),
  sign: async (bytes) => sign('sha256', bytes, { key, dsaEncoding: 'ieee-p1363' }),
});
