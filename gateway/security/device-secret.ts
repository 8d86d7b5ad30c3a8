import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeSecretFile } from '../../lake/base/secret-file.ts';
import { securityFolder } from './security-database.ts';

// How commands on the device itself, such as its health check, are let in: by a secret in a file that only the gateway's
// own user can read. No person has it, and no name of a person can be this one's.

export const deviceUserName = '_device';
const secretBytes = 32;

export const deviceSecretPath = (dataDir: string): string => join(securityFolder(dataDir), 'device.secret');

/** The secret; made by the first start. */
export function deviceSecret(dataDir: string): string {
  const path = deviceSecretPath(dataDir);
  if (!existsSync(path)) writeSecretFile(path, randomBytes(secretBytes).toString('base64url'));
  return readFileSync(path, 'utf8');
}

export const isDeviceSecret = (secret: string, given: Uint8Array): boolean =>
  timingSafeEqual(digestOf(Buffer.from(secret)), digestOf(given));

const digestOf = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();
