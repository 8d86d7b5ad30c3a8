import { FirnError } from '../base/errors.ts';

/** A customer: the hard isolation boundary, and the first segment of every object key. */
export type TenantId = string & { readonly brand: 'TenantId' };
/** A place with gateways. */
export type SiteId = string & { readonly brand: 'SiteId' };
/** One device. */
export type GatewayId = string & { readonly brand: 'GatewayId' };

export const tenantId = (text: string): TenantId => parseId('tenant', text) as TenantId;
export const siteId = (text: string): SiteId => parseId('site', text) as SiteId;
export const gatewayId = (text: string): GatewayId => parseId('gateway', text) as GatewayId;

/** Ids stand in object keys, file paths and SQL identifiers: lower case, digits and inner hyphens, at most 63. */
function parseId(kind: string, text: string): string {
  if (/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(text)) return text;
  throw new FirnError({
    code: 'invalid',
    operation: `parse ${kind} id`,
    subject: kind,
    message: `${kind} id ${JSON.stringify(text)} is not valid`,
    hint: 'use 1 to 63 of a-z, 0-9 and -, starting and ending with a letter or digit',
  });
}
