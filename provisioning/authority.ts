import 'reflect-metadata';
import { createPrivateKey, createPublicKey, KeyObject, randomBytes, webcrypto } from 'node:crypto';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import type { AuthorityFiles } from './authority-files.ts';
import { cloudUri } from './contract.ts';

// The device certificate authority: a root, whose key belongs into a safe; an issuing certificate, whose key the cloud
// has; and one that the cloud signs documents for gateways with. Issuing loads a library that takes a while, so only who
// issues imports this file.

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const dayMs = 86_400_000;
const rootDays = 30 * 365;
const issuingDays = 15 * 365;
/** A certificate begins to count so long before it is made: clocks differ. */
const earlierMs = 3_600_000;

interface Issuer {
  readonly name: string;
  readonly key: webcrypto.CryptoKey;
}

export interface IssuedAuthority {
  readonly files: AuthorityFiles;
  /** PKCS #8; not needed until the issuing certificate is to be replaced. */
  readonly rootKey: string;
}

/** Makes a new authority, with all of its keys. */
export async function makeAuthority(nowMs: number): Promise<IssuedAuthority> {
  const root = await makeKeys();
  const name = `CN=Firn device root ${randomBytes(4).toString('hex')}`;
  const rootCertificate = await issue({
    ...{ issuer: { name, key: root.privateKey }, subject: name, publicKey: root.publicKey },
    ...{ nowMs, days: rootDays, extensions: authorityExtensions(1) },
  });
  const rootKey = pkcs8(root.privateKey);
  return { rootKey, files: await renewIssuing({ rootCertificate, rootKey, nowMs }) };
}

/** New issuing and signing keys under a root; gateways that know the root believe them. */
export async function renewIssuing(under: {
  readonly rootCertificate: string;
  readonly rootKey: string;
  readonly nowMs: number;
}): Promise<AuthorityFiles> {
  const { rootCertificate, rootKey, nowMs } = under;
  const rootName = subjectOf(rootCertificate);
  const issuing = await makeKeys();
  const name = `CN=Firn device issuing ${randomBytes(4).toString('hex')}`;
  const dated = { nowMs, days: issuingDays };
  const issuingCertificate = await issue({
    ...{ issuer: { name: rootName, key: importPkcs8(rootKey) }, subject: name },
    ...{ ...dated, publicKey: issuing.publicKey, extensions: authorityExtensions(0) },
  });
  const signing = await makeKeys();
  const signingCertificate = await issue({
    ...{ issuer: { name, key: issuing.privateKey }, subject: 'CN=Firn cloud', publicKey: signing.publicKey },
    ...{ ...dated, extensions: leafExtensions(cloudUri, []) },
  });
  return {
    ...{ rootCertificate, issuingCertificate, signingCertificate },
    issuingKey: pkcs8(issuing.privateKey),
    signingKey: pkcs8(signing.privateKey),
  };
}

/** The certificate of a device, PEM. */
export async function issueDeviceCertificate(
  { issuingCertificate, issuingKey }: AuthorityFiles,
  device: {
    readonly commonName: string;
    readonly uri: string;
    /** SPKI, DER. */
    readonly publicKey: ArrayBuffer;
    readonly nowMs: number;
    readonly days: number;
  },
): Promise<string> {
  const { commonName, uri, nowMs, days } = device;
  const key = createPublicKey({ key: Buffer.from(device.publicKey), format: 'der', type: 'spki' });
  const issuer = { name: subjectOf(issuingCertificate), key: importPkcs8(issuingKey) };
  return issue({
    ...{ issuer, subject: `CN=${commonName}`, nowMs, days },
    publicKey: key.toCryptoKey(algorithm, true, ['verify']),
    extensions: leafExtensions(uri, [ExtendedKeyUsage.clientAuth]),
  });
}

async function issue(asked: {
  readonly issuer: Issuer;
  readonly subject: string;
  readonly publicKey: webcrypto.CryptoKey;
  readonly nowMs: number;
  readonly days: number;
  readonly extensions: Extension[];
}): Promise<string> {
  const { issuer, subject, publicKey, nowMs, days, extensions } = asked;
  const certificate = await X509CertificateGenerator.create({
    ...{ issuer: issuer.name, signingKey: issuer.key, subject, publicKey, extensions },
    ...{ serialNumber: serialNumber(), signingAlgorithm: algorithm },
    ...{ notBefore: new Date(nowMs - earlierMs), notAfter: new Date(nowMs + days * dayMs) },
  });
  return `${certificate.toString('pem')}\n`;
}

/** 126 random bits: positive, and without a zero byte at its start. */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString('hex');
}

const authorityExtensions = (authoritiesBelow: number): Extension[] => [
  new BasicConstraintsExtension(true, authoritiesBelow, true),
  new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
];

const leafExtensions = (uri: string, usages: readonly ExtendedKeyUsage[]): Extension[] => [
  new BasicConstraintsExtension(false, undefined, true),
  new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
  ...(usages.length === 0 ? [] : [new ExtendedKeyUsageExtension([...usages])]),
  new SubjectAlternativeNameExtension([{ type: 'url', value: uri }]),
];

const subjectOf = (pem: string): string => new X509Certificate(pem).subject;

const makeKeys = (): Promise<webcrypto.CryptoKeyPair> =>
  webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);

const pkcs8 = (key: webcrypto.CryptoKey): string =>
  KeyObject.from(key).export({ type: 'pkcs8', format: 'pem' }).toString();

const importPkcs8 = (pem: string): webcrypto.CryptoKey =>
  createPrivateKey(pem).toCryptoKey(algorithm, false, ['sign']);
