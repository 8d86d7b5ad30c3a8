import 'reflect-metadata';
import { createPublicKey, randomBytes } from 'node:crypto';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
} from '@peculiar/x509';
import {
  algorithm,
  authorityExtensions,
  importPkcs8,
  issue,
  makeKeys,
  pkcs8,
  subjectOf,
} from '../lake/base/x509.ts';
import type { AuthorityFiles } from './authority-files.ts';
import { cloudUri } from './contract.ts';

// The device certificate authority: a root, whose key belongs into a safe; an issuing certificate, whose key the cloud
// has; and one that the cloud signs documents for gateways with. Issuing loads a library that takes a while, so only who
// issues imports this file.

const rootDays = 30 * 365;
const issuingDays = 15 * 365;

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

const leafExtensions = (uri: string, usages: readonly ExtendedKeyUsage[]): Extension[] => [
  new BasicConstraintsExtension(false, undefined, true),
  new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
  ...(usages.length === 0 ? [] : [new ExtendedKeyUsageExtension([...usages])]),
  new SubjectAlternativeNameExtension([{ type: 'url', value: uri }]),
];
