import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { FirnError, messageOf } from '../../lake/base/errors.ts';
import { isP256 } from '../../lake/base/jws.ts';
import { writeSecretFile } from '../../lake/base/secret-file.ts';

/** The key that makes a device the gateway it is. It never leaves where it is kept: a file, or a chip behind this port. */
export interface DeviceKey {
  /** SPKI, DER. */
  readonly publicKey: Buffer;
  /** ECDSA P-256 with SHA-256; the two numbers side by side, 64 bytes. */
  sign(bytes: Uint8Array): Promise<Uint8Array>;
}

/** Makes a key in a file that only its owner can read. */
export function makeKeyFile(path: string): DeviceKey {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  writeSecretFile(path, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
  return keyOf(privateKey);
}

/** Throws FirnError `corrupt`. */
export function readKeyFile(path: string): DeviceKey {
  try {
    const key = createPrivateKey(readFileSync(path, 'utf8'));
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
  publicKey: createPublicKey(key).export({ type: 'spki', format: 'der' }),
  sign: async (bytes) => sign('sha256', bytes, { key, dsaEncoding: 'ieee-p1363' }),
});
