import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomUUID,
  sign,
  verify,
} from 'node:crypto';
import { link, mkdir, open, readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { FirnError, messageOf } from '../base/errors.ts';
import { syncFolder } from '../parquet/durable-file.ts';

// Ed25519 keys (RFC 8032): a gateway signs the bundles that leave it on a stick, the cloud signs the receipts that come
// back. A signature is over a file's exact bytes, so that openssl can check it too.

export const signatureBytes = 64;

/** Signs with a key of its own. */
export interface Signer {
  readonly publicKey: PublicKey;
  sign(bytes: Uint8Array): Buffer;
}

export interface PublicKey {
  /** SPKI in PEM, as it is kept and printed. */
  readonly pem: string;
  /** Short name of the key, to be compared by people. */
  readonly fingerprint: string;
  verify(bytes: Uint8Array, signature: Uint8Array): boolean;
}

/** The key in a file that only its owner can read; made when there is none. Of concurrent callers all get the same. */
export async function loadOrMakeSigner(path: string): Promise<Signer> {
  const existing = await readIfThere(path);
  if (existing !== undefined) return signerOf(existing, path);
  const pem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' });
  await publishOnce(path, pem.toString());
  return signerOf(await readFile(path, 'utf8'), path);
}

/** Durable and whole; whoever comes second leaves what is there. */
async function publishOnce(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${randomUUID()}.tmp`;
  const file = await open(temporary, 'w', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await link(temporary, path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  await rm(temporary);
  await syncFolder(dirname(path));
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function signerOf(pem: string, path: string): Signer {
  try {
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyType !== 'ed25519') throw new Error(`it is a key of type ${key.asymmetricKeyType}`);
    return { publicKey: publicKeyOf(createPublicKey(key)), sign: (bytes) => sign(null, bytes, key) };
  } catch (cause) {
    throw new FirnError({
      code: 'corrupt',
      operation: 'read signing key',
      subject: path,
      message: `${path} doesn't hold an Ed25519 private key: ${messageOf(cause)}`,
      hint: 'restore it from a backup; or remove it, and let the other side trust the new key that is made then',
      cause,
    });
  }
}

/** Reads a public key: PEM, or the base64 of its SPKI or of its 32 bytes. Throws FirnError `invalid`. */
export function parsePublicKey(text: string, subject: string): PublicKey {
  try {
    const trimmed = text.trim();
    const key = createPublicKey(
      trimmed.startsWith('-----BEGIN PUBLIC KEY-----')
        ? trimmed
        : { key: spkiOf(trimmed), format: 'der', type: 'spki' },
    );
    if (key.asymmetricKeyType !== 'ed25519') throw new Error(`it is a key of type ${key.asymmetricKeyType}`);
    return publicKeyOf(key);
  } catch (cause) {
    throw new FirnError({
      code: 'invalid',
      operation: 'read public key',
      subject,
      message: `${subject} doesn't hold an Ed25519 public key: ${messageOf(cause)}`,
      hint: 'use what `firn ship key` (on a gateway) or `firn ship cloud-key` (in the cloud) prints',
      cause,
    });
  }
}

/** What comes before the 32 bytes of an Ed25519 key in an SPKI (RFC 8410). */
const spkiPrefix = Buffer.from('302a300506032b6570032100', 'hex');
const rawKeyBytes = 32;

function spkiOf(base64: string): Buffer {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) throw new Error('it is neither PEM nor base64');
  const bytes = Buffer.from(base64, 'base64');
  return bytes.byteLength === rawKeyBytes ? Buffer.concat([spkiPrefix, bytes]) : bytes;
}

function publicKeyOf(key: KeyObject): PublicKey {
  const spki = key.export({ type: 'spki', format: 'der' });
  return {
    pem: key.export({ type: 'spki', format: 'pem' }).toString(),
    fingerprint: createHash('sha256').update(spki).digest('hex').slice(0, 32),
    verify: (bytes, signature) =>
      signature.byteLength === signatureBytes && verify(null, bytes, key, signature),
  };
}
