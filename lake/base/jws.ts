import { type KeyObject, sign, verify, X509Certificate } from 'node:crypto';
import { FirnError } from './errors.ts';

// Signed JSON: JWS (RFC 7515) in its compact form, with ES256 and the signer's certificates in the header (x5c). One
// algorithm and no choice, so that there is nothing to downgrade.

/** The two halves of an ES256 signature, which JWS has side by side. */
const dsaEncoding = 'ieee-p1363';
const certificatesMax = 4;

/** Whoever holds a private key, be it a file or a chip. */
export interface JwsSigner {
  /** The signer's own first. */
  readonly certificates: readonly X509Certificate[];
  /** ECDSA P-256 with SHA-256, as the two numbers side by side. */
  sign(bytes: Uint8Array): Uint8Array | Promise<Uint8Array>;
}

export interface OpenedJws {
  readonly header: Readonly<Record<string, unknown>>;
  /** What was signed, parsed as JSON. */
  readonly payload: unknown;
  /** The signer's own first; its key has made the signature. Whether they can be believed is for the caller to say. */
  readonly certificates: readonly [X509Certificate, ...X509Certificate[]];
}

export const ecdsaSigner = (key: KeyObject, certificates: readonly X509Certificate[]): JwsSigner => ({
  certificates,
  sign: (bytes) => sign('sha256', bytes, { key, dsaEncoding }),
});

/** `header` gets `alg` and `x5c`. */
export async function signJws(header: object, payload: object, signer: JwsSigner): Promise<string> {
  const x5c = signer.certificates.map(({ raw }) => raw.toString('base64'));
  const signed = `${encode({ ...header, alg: 'ES256', x5c })}.${encode(payload)}`;
  return `${signed}.${Buffer.from(await signer.sign(Buffer.from(signed))).toString('base64url')}`;
}

/** Throws FirnError `denied` when it is not a JWS, or is not signed by the first certificate in it. */
export function openJws(text: string, what: string): OpenedJws {
  const [head = '', body = '', signature = '', ...more] = text.split('.');
  const header = decode(head);
  if (more.length > 0 || !isRecord(header)) throw refused(what, 'it is not a signed document');
  const certificates = certificatesOf(header.x5c);
  const [signer] = certificates;
  if (header.alg !== 'ES256' || signer === undefined || !isP256(signer.publicKey))
    throw refused(what, 'it is not signed with ES256 by a certificate');
  const bytes = Buffer.from(signature, 'base64url');
  if (!verify('sha256', Buffer.from(`${head}.${body}`), { key: signer.publicKey, dsaEncoding }, bytes))
    throw refused(what, 'its signature is not of its signer');
  return { header, payload: decode(body), certificates: [signer, ...certificates.slice(1)] };
}

/** Whether each certificate is issued by the next, and the last by the root. Times are not looked at. */
export function leadsTo(certificates: readonly X509Certificate[], root: X509Certificate): boolean {
  return certificates.every((certificate, index) => {
    const issuer = certificates[index + 1] ?? root;
    return issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
  });
}

/** PEM or DER; undefined when it is no certificate. */
export function readCertificate(source: string | Buffer): X509Certificate | undefined {
  try {
    return new X509Certificate(source);
  } catch {
    return undefined;
  }
}

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

function decode(part: string): unknown {
  try {
    return JSON.parse(Buffer.from(part, 'base64url').toString());
  } catch {
    return undefined;
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function certificatesOf(x5c: unknown): X509Certificate[] {
  if (!Array.isArray(x5c) || x5c.length > certificatesMax) return [];
  const found = x5c.map((each) => readCertificate(Buffer.from(String(each), 'base64')));
  return found.every((each) => each !== undefined) ? found : [];
}

export const isP256 = (key: KeyObject): boolean =>
  key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1';

const refused = (what: string, why: string): FirnError =>
  new FirnError({
    code: 'denied',
    operation: 'verify',
    subject: what,
    message: `${what} is refused: ${why}`,
  });
