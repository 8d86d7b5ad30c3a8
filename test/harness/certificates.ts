import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

// An authority and certificates that it has signed, made by openssl.

const program = 'openssl';
export const hasOpenssl = spawnSync(program, ['version']).error === undefined;

interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
}

export interface Authority extends Disposable {
  readonly folder: string;
  readonly caFile: string;
  /** Writes NAME.crt and NAME.key; over what was there before. */
  sign(name: string, commonName: string, alternative?: string): Certificate;
}

export function createAuthority(): Authority {
  const folder = mkdtempSync(join(tmpdir(), 'firn-certificates-'));
  const at = (name: string): string => join(folder, name);
  const openssl = (...args: string[]): void =>
    void execFileSync(program, args, { cwd: folder, stdio: 'pipe' });
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl('req', '-x509', ...curve, '-keyout', 'ca.key', '-out', 'ca.crt', '-subj', '/CN=site', '-days', '2');
  return {
    folder,
    caFile: at('ca.crt'),
    sign: (name, commonName, alternative = 'IP:127.0.0.1') => {
      openssl('req', ...curve, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${commonName}`);
      writeFileSync(at('extensions'), `subjectAltName=${alternative}\n`);
      const from = ['-in', `${name}.csr`, '-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial'];
      openssl('x509', '-req', ...from, '-out', `${name}.crt`, '-days', '1', '-extfile', 'extensions');
      return { certFile: at(`${name}.crt`), keyFile: at(`${name}.key`) };
    },
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}
