import 'reflect-metadata';
import { createPrivateKey, KeyObject, randomBytes, webcrypto } from 'node:crypto';
import {
  BasicConstraintsExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';

// Makes certificates with ECDSA keys on P-256. The library takes a while to load, so only who issues imports this file.

export const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const dayMs = 86_400_000;
/** A certificate begins to count so long before it is made: clocks differ. */
const earlierMs = 3_600_000;

interface Issuer {
  readonly name: string;
  readonly key: webcrypto.CryptoKey;
}

/** A certificate that counts for so many days from now, PEM. */
export function issue({
  nowMs,
  days,
  ...asked
}: Omit<IssueBetween, 'fromMs' | 'toMs'> & {
  readonly nowMs: number;
  readonly days: number;
}): Promise<string> {
  return issueBetween({ ...asked, fromMs: nowMs - earlierMs, toMs: nowMs + days * dayMs });
}

interface IssueBetween {
  readonly issuer: Issuer;
  readonly subject: string;
  readonly publicKey: webcrypto.CryptoKey;
  readonly fromMs: number;
  readonly toMs: number;
  readonly extensions: Extension[];
}

/** A certificate that counts from one time to another, PEM. */
export async function issueBetween(asked: IssueBetween): Promise<string> {
  const { issuer, subject, publicKey, fromMs, toMs, extensions } = asked;
  const certificate = await X509CertificateGenerator.create({
    ...{ issuer: issuer.name, signingKey: issuer.key, subject, publicKey, extensions },
    ...{ serialNumber: serialNumber(), signingAlgorithm: algorithm },
    ...{ notBefore: new Date(fromMs), notAfter: new Date(toMs) },
  });
  return `${certificate.toString('pem')}\n`;
}

/** 126 random bits: positive, and without a zero byte at its start. */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString('hex');
}

export const authorityExtensions = (authoritiesBelow: number): Extension[] => [
  new BasicConstraintsExtension(true, authoritiesBelow, true),
  new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
];

export const subjectOf = (pem: string): string => new X509Certificate(pem).subject;

export const makeKeys = (): Promise<webcrypto.CryptoKeyPair> =>
  webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);

export const pkcs8 = (key: webcrypto.CryptoKey): string =>
  KeyObject.from(key).export({ type: 'pkcs8', format: 'pem' }).toString();

export const importPkcs8 = (pem: string): webcrypto.CryptoKey =>
  createPrivateKey(pem).toCryptoKey(algorithm, false, ['sign']);
