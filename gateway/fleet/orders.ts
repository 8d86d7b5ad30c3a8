import type { z } from 'zod';
import { FirnError } from '../../lake/base/errors.ts';
import { leadsTo, openJws } from '../../lake/base/jws.ts';
import { cloudUri, isFor } from '../../provisioning/contract.ts';
import type { Identity } from './identity.ts';

/**
 * What a signed document of the cloud says, if it is signed by the cloud that has enrolled this gateway, for this gateway,
 * as this type, and not before another one that was taken (`afterMs`). Else throws FirnError `denied`.
 */
export function openOrder<
  T extends { readonly tenant: string; readonly gateway: string; readonly issuedMs: number },
>(
  text: string,
  type: string,
  schema: z.ZodType<T>,
  { tenant, gateway, root }: Pick<Identity, 'tenant' | 'gateway' | 'root'>,
  afterMs: number,
): T {
  const { header, certificates, payload } = openJws(text, type);
  const order = schema.safeParse(payload).data;
  const refuse = (why: string): FirnError =>
    new FirnError({
      ...{ code: 'denied', operation: 'take order', subject: type },
      message: `what the cloud orders is refused: ${why}`,
    });
  if (!isFor(certificates[0], cloudUri) || !leadsTo(certificates, root))
    throw refuse('it is not signed by the cloud that this gateway is enrolled with');
  if (header.typ !== type || order === undefined) throw refuse(`it is no ${type}`);
  if (order.tenant !== tenant || order.gateway !== gateway) throw refuse('it is for another gateway');
  if (order.issuedMs < afterMs) throw refuse('it is older than one that was taken before');
  return order;
}
