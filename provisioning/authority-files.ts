import { createPrivateKey, type X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { FirnError, messageOf } from '../lake/base/errors.ts';
import { ecdsaSigner, type JwsSigner, leadsTo, readCertificate } from '../lake/base/jws.ts';
import type { Logger } from '../lake/base/log.ts';
import { writeSecretFile } from '../lake/base/secret-file.ts';
import { pinOf } from './contract.ts';

/** What the cloud holds of the device authority, all PEM. The root's key is not among it. */
export interface AuthorityFiles {
  readonly rootCertificate: string;
  readonly issuingCertificate: string;
  readonly issuingKey: string;
  readonly signingCertificate: string;
  readonly signingKey: string;
}

export const fileNames: Readonly<Record<keyof AuthorityFiles, string>> = {
  rootCertificate: 'root.crt',
  issuingCertificate: 'issuing.crt',
  issuingKey: 'issuing.key',
  signingCertificate: 'signing.crt',
  signingKey: 'signing.key',
};
export const rootKeyName = 'root.key';

export interface Authority {
  /** Begins every claim: see contract.ts. */
  readonly pin: string;
  /** Signs what gateways believe. */
  readonly signer: JwsSigner;
  /** Certificates of the issuing one and the root, PEM: what follows a device's own. */
  readonly above: readonly [string, string];
  readonly root: X509Certificate;
  /** The certificate of a device, PEM. */
  issue(device: {
    readonly commonName: string;
    readonly uri: string;
    readonly publicKey: ArrayBuffer;
    readonly nowMs: number;
    readonly days: number;
  }): Promise<string>;
}

/** Opens the authority in a folder; makes one where there is none. Several clouds need the same files. */
export async function openAuthority(folder: string, nowMs: number, logger: Logger): Promise<Authority> {
  if (!existsSync(join(folder, fileNames.rootCertificate))) {
    const { makeAuthority } = await import('./authority.ts');
    const { files, rootKey } = await makeAuthority(nowMs);
    writeSecretFile(join(folder, rootKeyName), rootKey);
    writeAuthority(folder, files);
    logger.info('made a device authority; move the key of its root to a safe place', {
      file: join(folder, rootKeyName),
    });
  }
  return authorityOf(folder, readAuthority(folder));
}

/** The root's certificate is written last: with it, the rest is there. */
export function writeAuthority(folder: string, files: AuthorityFiles): void {
  const names = Object.keys(fileNames).toReversed() as (keyof AuthorityFiles)[];
  for (const name of names) writeSecretFile(join(folder, fileNames[name]), files[name]);
}

/** Throws FirnError `corrupt` when a file is missing. */
function readAuthority(folder: string): AuthorityFiles {
  const read = (name: keyof AuthorityFiles): string => readFileSync(join(folder, fileNames[name]), 'utf8');
  try {
    return {
      ...{ rootCertificate: read('rootCertificate'), issuingCertificate: read('issuingCertificate') },
      ...{ issuingKey: read('issuingKey'), signingCertificate: read('signingCertificate') },
      signingKey: read('signingKey'),
    };
  } catch (cause) {
    throw corrupt(folder, messageOf(cause), cause);
  }
}

function authorityOf(folder: string, files: AuthorityFiles): Authority {
  const [root, issuing, signing] = [
    files.rootCertificate,
    files.issuingCertificate,
    files.signingCertificate,
  ].map(readCertificate);
  if (!root || !issuing || !signing || !leadsTo([signing, issuing], root))
    throw corrupt(folder, 'its certificates do not belong together');
  const key = createPrivateKey(files.signingKey);
  return {
    pin: pinOf(root),
    signer: ecdsaSigner(key, [signing, issuing]),
    above: [files.issuingCertificate, files.rootCertificate],
    root,
    issue: async (device) => {
      const { issueDeviceCertificate } = await import('./authority.ts');
      return issueDeviceCertificate(files, device);
    },
  };
}

const corrupt = (folder: string, why: string, cause?: unknown): FirnError =>
  new FirnError({
    ...{ code: 'corrupt', operation: 'read device authority', subject: folder, cause },
    message: `the device authority in ${folder} can't be read: ${why}`,
    hint: 'restore the folder from a backup: gateways believe no other authority',
  });
