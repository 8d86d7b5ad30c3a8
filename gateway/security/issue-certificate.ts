import 'reflect-metadata';
import { createPublicKey } from 'node:crypto';
import { isIP } from 'node:net';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
} from '@peculiar/x509';
import {
  algorithm,
  authorityExtensions,
  importPkcs8,
  issue,
  issueBetween,
  makeKeys,
  pkcs8,
  subjectOf,
} from '../../lake/base/x509.ts';

// The authority of one gateway, and the certificate that its listeners show. Both PEM, keys PKCS #8.

export interface KeyAndCertificate {
  readonly key: string;
  readonly certificate: string;
}

/** A device may not know the time when it makes its authority; so this one counts from before all devices, and for good. */
const authorityFromMs = Date.UTC(2020, 0, 1);
const authorityToMs = Date.UTC(9999, 11, 31, 23, 59, 59);

export async function makeSiteAuthority(name: string): Promise<KeyAndCertificate> {
  const { privateKey, publicKey } = await makeKeys();
  const subject = `CN=${name}`;
  const certificate = await issueBetween({
    ...{ issuer: { name: subject, key: privateKey }, subject, publicKey },
    ...{ fromMs: authorityFromMs, toMs: authorityToMs },
    extensions: [...authorityExtensions(0), await SubjectKeyIdentifierExtension.create(publicKey)],
  });
  return { key: pkcs8(privateKey), certificate };
}

/** What the site's authority says of a key: that it is the server's of these names and addresses. */
export async function makeSiteCertificate(asked: {
  readonly authority: KeyAndCertificate;
  /** The key to certify; absent: a new one. */
  readonly key: string | undefined;
  readonly names: readonly string[];
  readonly nowMs: number;
  readonly days: number;
}): Promise<KeyAndCertificate> {
  const { authority, names, nowMs, days } = asked;
  const key = asked.key ?? pkcs8((await makeKeys()).privateKey);
  const publicKey = createPublicKey(key).toCryptoKey(algorithm, true, ['verify']);
  const above = createPublicKey(authority.key).toCryptoKey(algorithm, true, ['verify']);
  const certificate = await issue({
    issuer: { name: subjectOf(authority.certificate), key: importPkcs8(authority.key) },
    ...{ subject: 'CN=Firn gateway', publicKey, nowMs, days },
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension(
        names.map((value) => ({ type: isIP(value) === 0 ? 'dns' : 'ip', value })),
      ),
      await SubjectKeyIdentifierExtension.create(publicKey),
      await AuthorityKeyIdentifierExtension.create(above),
    ],
  });
  return { key, certificate };
}
