import 'reflect-metadata';
import { Pkcs10CertificateRequest } from '@peculiar/x509';
import { FirnError } from '../lake/base/errors.ts';
import { keyHashOfSpki } from './contract.ts';

// A gateway's request for a certificate. All that is taken from it is the key: who the gateway is says the claim or the
// certificate before, never the request.

export interface CertificateRequest {
  /** SPKI, DER. */
  readonly publicKey: ArrayBuffer;
  /** Hex SHA-256 of it. */
  readonly keyHash: string;
}

/** Reads DER in base64. Throws FirnError `invalid` for any but a request of a P-256 key that signed it, with no names. */
export async function readCertificateRequest(base64: string): Promise<CertificateRequest> {
  const request = parsed(base64);
  if (request === undefined) throw refused('it is no certificate request (PKCS #10)');
  const { publicKey, subject, extensions } = request;
  const { name, namedCurve } = publicKey.algorithm as { name: string; namedCurve?: string };
  if (name !== 'ECDSA' || namedCurve !== 'P-256') throw refused('its key is not an ECDSA key on P-256');
  if (!(await request.verify().catch(() => false))) throw refused('it is not signed by its own key');
  if (subject !== '' || extensions.length > 0)
    throw refused('it names somebody; who a gateway is follows from its claim, so leave the names out');
  const spki = publicKey.rawData;
  return { publicKey: spki, keyHash: keyHashOfSpki(Buffer.from(spki)) };
}

function parsed(base64: string): Pkcs10CertificateRequest | undefined {
  try {
    return new Pkcs10CertificateRequest(Buffer.from(base64, 'base64'));
  } catch {
    return undefined;
  }
}

const refused = (why: string): FirnError =>
  new FirnError({
    ...{ code: 'invalid', operation: 'read certificate request', subject: 'certificateRequest' },
    message: `certificateRequest: ${why}`,
  });
