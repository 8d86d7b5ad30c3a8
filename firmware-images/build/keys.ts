import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './run.ts';

// Updates are signed by a certificate of an authority whose certificate is in the image. For a product both are made
// once, on a machine without a network, and given by flags; without flags a pair is made here, good for trying only.

export interface SigningKeys {
  /** Paths of PEM files. */
  readonly authority: string;
  readonly certificate: string;
  readonly key: string;
}

const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc'];

/** Keys for trying, made when they are not there. Whoever can read `folder` can sign updates for images made with it. */
export async function trialKeys(folder: string): Promise<SigningKeys> {
  const path = (name: string): string => join(folder, name);
  const keys = { authority: path('authority.pem'), certificate: path('signer.pem'), key: path('signer.key') };
  if (existsSync(keys.key) && existsSync(keys.certificate)) return keys;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await run('openssl', [
    ...['req', '-x509', ...curve, '-days', '7300', '-subj', '/CN=Firn updates (trial)'],
    ...[
      '-addext',
      'basicConstraints=critical,CA:TRUE,pathlen:0',
      '-addext',
      'keyUsage=critical,keyCertSign,cRLSign',
    ],
    ...['-keyout', path('authority.key'), '-out', keys.authority],
  ]);
  await run('openssl', [
    ...['req', '-x509', ...curve, '-days', '3650', '-subj', '/CN=Firn update signer (trial)'],
    ...[
      '-CA',
      keys.authority,
      '-CAkey',
      path('authority.key'),
      '-addext',
      'basicConstraints=critical,CA:FALSE',
    ],
    ...[
      '-addext',
      'keyUsage=critical,digitalSignature',
      '-addext',
      'extendedKeyUsage=emailProtection,codeSigning',
    ],
    ...['-keyout', keys.key, '-out', keys.certificate],
  ]);
  return keys;
}

export const readAuthority = (keys: SigningKeys): Promise<string> => readFile(keys.authority, 'utf8');
