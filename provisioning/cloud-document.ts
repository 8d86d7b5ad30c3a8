import type { X509Certificate } from 'node:crypto';
import type { z } from 'zod';
import { FirnError } from '../lake/base/errors.ts';
import { leadsTo, openJws } from '../lake/base/jws.ts';
import { cloudUri, isFor } from './contract.ts';

/** Whom a document is for, and whose signature counts. */
export interface Addressee {
  readonly tenant: string;
  readonly gateway: string;
  readonly root: X509Certificate;
}

/**
 * What a signed document of the cloud says, if it is signed by the cloud that has enrolled this gateway, for this gateway
 * and as this type. Else throws FirnError `denied`.
 */
export function openCloudDocument<T extends { readonly tenant: string; readonly gateway: string }>(
  text: string,
  type: string,
  schema: z.ZodType<T>,
  { tenant, gateway, root }: Addressee,
): T {
  const { header, certificates, payload } = openJws(text, type);
  const document = schema.safeParse(payload).data;
  if (!isFor(certificates[0], cloudUri) || !leadsTo(certificates, root))
    throw documentRefused(type, 'it is not signed by the cloud that this gateway is enrolled with');
  if (header.typ !== type || document === undefined) throw documentRefused(type, `it is no ${type}`);
  if (document.tenant !== tenant || document.gateway !== gateway)
    throw documentRefused(type, 'it is for another gateway');
  return document;
}

export const documentRefused = (type: string, why: string): FirnError =>
  new FirnError({
    ...{ code: 'denied', operation: 'take signed document', subject: type },
    message: `what the cloud says is refused: ${why}`,
  });
