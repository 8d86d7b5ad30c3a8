import { createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { hostname, networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Clock } from '../../lake/base/clock.ts';
import type { Logger } from '../../lake/base/log.ts';
import { repeat } from '../../lake/base/repeat.ts';
import { writeSecretFile } from '../../lake/base/secret-file.ts';
import type { TlsFiles } from '../../lake/base/server-tls.ts';
import type { KeyAndCertificate } from './issue-certificate.ts';
import { securityFolder } from './security-database.ts';

// The site's certificate: an authority of this gateway's own, which clients are told to believe once, and a certificate of
// it for the names and addresses of the machine, which is renewed with its key kept.

export interface SiteCertificate extends TlsFiles, AsyncDisposable {
  /** What clients are to believe. */
  readonly caFile: string;
}

interface CertificateOptions {
  readonly dataDir: string;
  /** What the authority is called, for whoever looks into a list of them. */
  readonly gateway: string;
  /** Names and addresses beside those of the machine. */
  readonly names: readonly string[];
  readonly clock: Clock;
  readonly logger: Logger;
  /** Of the machine, as they are now. */
  readonly namesOfMachine?: () => readonly string[];
}

export const siteCaPath = (dataDir: string): string => join(securityFolder(dataDir), 'ca.crt');

/** Browsers take no certificate for longer. */
const days = 397;
/** Renewed when so much of its time is over. */
const renewAfter = 2 / 3;
const lookMs = 60_000;

/** Makes what is missing, and from then on renews the certificate when its time or the machine's names call for it. */
export async function keepSiteCertificate(options: CertificateOptions): Promise<SiteCertificate> {
  const { dataDir, clock, logger } = options;
  const at = (name: string): string => join(securityFolder(dataDir), name);
  const files = { caFile: siteCaPath(dataDir), certFile: at('site.crt'), keyFile: at('site.key') };
  const authorityFiles = { certFile: files.caFile, keyFile: at('ca.key') };
  const look = async (): Promise<void> => {
    const authority = readPair(authorityFiles) ?? (await makeAuthority(options, authorityFiles));
    const names = [...new Set([...options.names, ...(options.namesOfMachine ?? ownNames)()])];
    const current = readPair(files);
    const why = whyRenew(current, authority, names, clock.nowMs());
    if (why === undefined) return;
    const asked = { authority, key: current?.key, names, nowMs: clock.nowMs(), days };
    const made = await inThread({ make: 'certificate', ...asked });
    // The key first: a certificate is not there without it.
    if (made.key !== current?.key) writeSecretFile(files.keyFile, made.key);
    writeSecretFile(files.certFile, made.certificate);
    logger.info('the site certificate is new', { why, file: files.certFile });
  };
  await look();
  const failing = 'the site certificate can not be renewed';
  const looking = repeat({ clock, logger, everyMs: lookMs, failing }, look);
  return { ...files, [Symbol.asyncDispose]: () => looking[Symbol.asyncDispose]() };
}

async function makeAuthority(
  { gateway, logger }: CertificateOptions,
  { certFile, keyFile }: TlsFiles,
): Promise<KeyAndCertificate> {
  const made = await inThread({ make: 'authority', name: `Firn site ${gateway}` });
  writeSecretFile(keyFile, made.key);
  writeSecretFile(certFile, made.certificate);
  logger.info('made an authority for the certificate of this site; clients are to believe it', {
    ...{ file: certFile, sha256: new X509Certificate(made.certificate).fingerprint256 },
  });
  return made;
}

/** Undefined where one of them is missing, or they do not belong together. */
function readPair({ certFile, keyFile }: TlsFiles): KeyAndCertificate | undefined {
  if (!existsSync(certFile) || !existsSync(keyFile)) return undefined;
  const [certificate, key] = [certFile, keyFile].map((path) => readFileSync(path, 'utf8')) as [
    string,
    string,
  ];
  try {
    const fits = new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key));
    return fits ? { certificate, key } : undefined;
  } catch {
    return undefined; // cut off, or not PEM: made anew
  }
}

/** Why a certificate is to be made; undefined: the one that is there will do. */
function whyRenew(
  current: KeyAndCertificate | undefined,
  authority: KeyAndCertificate,
  names: readonly string[],
  nowMs: number,
): string | undefined {
  if (current === undefined) return 'there was none';
  const certificate = new X509Certificate(current.certificate);
  if (!certificate.verify(new X509Certificate(authority.certificate).publicKey)) return 'another authority';
  const missing = names.find(
    (name) => (isIP(name) === 0 ? certificate.checkHost(name) : certificate.checkIP(name)) === undefined,
  );
  if (missing !== undefined) return `it does not name ${missing}`;
  const [fromMs, toMs] = [certificate.validFromDate.getTime(), certificate.validToDate.getTime()];
  if (nowMs < fromMs) return 'the clock was ahead when it was made';
  return nowMs > fromMs + renewAfter * (toMs - fromMs) ? 'its time is running out' : undefined;
}

/** What others may call this machine by. */
function ownNames(): string[] {
  const addresses = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  const host = hostname();
  const named = /^[a-zA-Z0-9.-]+$/.test(host) ? [host, ...(host.includes('.') ? [] : [`${host}.local`])] : [];
  // Addresses of one cable alone are not typed into anything.
  const reached = addresses.filter(({ address }) => !address.startsWith('fe80:'));
  return [...new Set(['localhost', '127.0.0.1', '::1', ...named, ...reached.map(({ address }) => address)])];
}

async function inThread(asked: object): Promise<KeyAndCertificate> {
  const worker = new Worker(new URL('./certificate-worker.ts', import.meta.url), { workerData: asked });
  const [made] = (await once(worker, 'message')) as [KeyAndCertificate];
  return made;
}
