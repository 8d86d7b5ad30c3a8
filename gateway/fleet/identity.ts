import type { X509Certificate } from 'node:crypto';
import { existsSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { FirnError, messageOf } from '../../lake/base/errors.ts';
import { leadsTo, readCertificate } from '../../lake/base/jws.ts';
import { writeSecretFile } from '../../lake/base/secret-file.ts';
import { type EnrollAnswer, gatewayUri, isFor, parseGatewayUri, pinOf } from '../../provisioning/contract.ts';
import { type DeviceKey, type KeyStore, makeKey, readKeyFile } from './device-key.ts';

// Who this gateway is, in a folder of its own: the key, and what the cloud has said of it. It holds for good: nothing here
// looks at a date.

const fileSchema = z.strictObject({
  format: z.literal(1),
  /** The cloud that has enrolled it. */
  url: z.string(),
  tenant: z.string(),
  site: z.string(),
  gateway: z.string(),
  certificates: z.array(z.string()).length(3),
});
type IdentityFile = z.infer<typeof fileSchema>;

export interface Identity {
  readonly url: string;
  readonly tenant: string;
  readonly site: string;
  readonly gateway: string;
  readonly key: DeviceKey;
  /** Its own, and the issuing one: what goes with a signature. */
  readonly certificates: readonly [X509Certificate, X509Certificate];
  /** Whom it believes. */
  readonly root: X509Certificate;
}

export const identityFolder = (dataDir: string): string => join(dataDir, 'identity');
const filePath = (folder: string): string => join(folder, 'identity.json');
const keyPath = (folder: string): string => join(folder, 'device.key');
const nextKeyPath = (folder: string): string => join(folder, 'device.next.key');

export const isEnrolled = (folder: string): boolean => existsSync(filePath(folder));

/** Undefined before the first enrollment. Throws FirnError `corrupt`. */
export function readIdentity(folder: string): Identity | undefined {
  if (!isEnrolled(folder)) return undefined;
  let file: IdentityFile;
  try {
    file = fileSchema.parse(JSON.parse(readFileSync(filePath(folder), 'utf8')));
  } catch (cause) {
    throw corrupt(folder, messageOf(cause).split('\n')[0] ?? '');
  }
  const found = identityOf(file, readKeyFile(keyPath(folder)));
  if (found !== undefined) return found;
  // Ended between the two steps of a change of keys: the certificate is there, the key has still its other name.
  const next = existsSync(nextKeyPath(folder)) ? readKeyFile(nextKeyPath(folder)) : undefined;
  const changed = next && identityOf(file, next);
  if (changed === undefined) throw corrupt(folder, 'its certificate is not for its key');
  renameSync(nextKeyPath(folder), keyPath(folder));
  return changed;
}

/** The key to enroll with: the one that is there, as after an enrollment whose answer was lost, or a new one. */
export const keyToEnroll = (folder: string, keyStore: KeyStore = 'file'): Promise<DeviceKey> =>
  keyAt(keyPath(folder), keyStore);

/** The key to change to: the one that a change before has begun with, or a new one. */
export const nextKey = (folder: string, keyStore: KeyStore = 'file'): Promise<DeviceKey> =>
  keyAt(nextKeyPath(folder), keyStore);

const keyAt = async (path: string, keyStore: KeyStore): Promise<DeviceKey> =>
  existsSync(path) ? readKeyFile(path) : makeKey(path, keyStore);

/**
 * Keeps what an enrollment has given, if its certificates are for this key and their root is the one that the claim or
 * the settings name, where they do; else throws FirnError `denied`.
 */
export function keepEnrollment(
  folder: string,
  given: EnrollAnswer & { readonly url: string },
  key: DeviceKey,
  pin: string | undefined,
): Identity {
  const { url, tenant, site, gateway, certificates } = given;
  const file = { format: 1 as const, url, tenant, site, gateway, certificates };
  const identity = identityOf(file, key);
  if (identity === undefined || (pin !== undefined && pinOf(identity.root) !== pin))
    throw new FirnError({
      ...{ code: 'denied', operation: 'enroll', subject: url },
      message: `the cloud at ${url} is not the one that the claim was made by, or cloud.pin names`,
      hint: 'see that the address is right and that nobody stands in between; the claim may have been read: revoke it',
    });
  writeIdentity(folder, file);
  return identity;
}

/** Keeps renewed certificates, of the same key or of `nextKey`. Undefined, and nothing kept, if they are for no such key. */
export function keepRenewal(
  folder: string,
  identity: Identity,
  certificates: string[],
  key: DeviceKey,
): Identity | undefined {
  const { url, tenant, site, gateway } = identity;
  const own = readCertificate(certificates[0] ?? '');
  // A gateway may have been moved to another site; tenant and id are for good.
  const file = {
    format: 1 as const,
    url,
    tenant,
    site: (own && parseGatewayUri(own))?.site ?? site,
    gateway,
    certificates,
  };
  const renewed = identityOf(file, key);
  if (renewed === undefined || !renewed.root.raw.equals(identity.root.raw)) return undefined;
  writeIdentity(folder, file);
  if (key !== identity.key) renameSync(nextKeyPath(folder), keyPath(folder));
  return renewed;
}

const writeIdentity = (folder: string, file: IdentityFile): void =>
  writeSecretFile(filePath(folder), `${JSON.stringify(fileSchema.parse(file), null, 2)}\n`);

/** Undefined when the certificates are not for this gateway and key, or do not lead to their root. */
function identityOf(file: IdentityFile, key: DeviceKey): Identity | undefined {
  const [own, issuing, root] = file.certificates.map(readCertificate);
  const { url, tenant, site, gateway } = file;
  if (!own || !issuing || !root || !leadsTo([own, issuing], root)) return undefined;
  if (!isFor(own, gatewayUri(tenant, site, gateway))) return undefined;
  if (!own.publicKey.export({ type: 'spki', format: 'der' }).equals(key.publicKey)) return undefined;
  return { url, tenant, site, gateway, key, certificates: [own, issuing], root };
}

const corrupt = (folder: string, why: string): FirnError =>
  new FirnError({
    ...{ code: 'corrupt', operation: 'read identity', subject: folder },
    message: `the identity in ${folder} can't be read: ${why}`,
    hint: 'restore the folder; or remove it, and enroll again with a claim for this gateway',
  });
