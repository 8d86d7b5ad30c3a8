import type { z } from 'zod';
import { documentRefused, openCloudDocument } from '../../provisioning/cloud-document.ts';
import type { Identity } from './identity.ts';

/**
 * An order of the cloud (see `openCloudDocument`), if it is not from before another one that was taken (`afterMs`). Else
 * throws FirnError `denied`.
 */
export function openOrder<
  T extends { readonly tenant: string; readonly gateway: string; readonly issuedMs: number },
>(
  text: string,
  type: string,
  schema: z.ZodType<T>,
  identity: Pick<Identity, 'tenant' | 'gateway' | 'root'>,
  afterMs: number,
): T {
  const order = openCloudDocument(text, type, schema, identity);
  if (order.issuedMs < afterMs) throw documentRefused(type, 'it is older than one that was taken before');
  return order;
}
