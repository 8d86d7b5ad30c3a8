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

/** What ids of the cloud's own virtual gateways look like; no other gateway gets one. */
export const virtualGatewayPrefix = 'cloud-';
export const isVirtualGateway = (gateway: string): boolean => /^cloud-[0-9a-f]{16}$/.test(gateway);

/** The id of a gateway that may come from outside. Throws FirnError `invalid`, also for those of virtual gateways. */
export function newGatewayId(text: string): GatewayId {
  const id = gatewayId(text);
  if (!isVirtualGateway(id)) return id;
  throw new FirnError({
    ...{ code: 'invalid', operation: 'parse gateway id', subject: 'gateway' },
    message: `gateway id ${JSON.stringify(id)} is one of those that the cloud keeps for itself`,
    hint: `choose one that is not ${virtualGatewayPrefix} and 16 hexadecimal digits`,
  });
}

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
