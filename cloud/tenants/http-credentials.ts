import type { TenantId } from '../../lake/model/ids.ts';
import type { TenantStore } from './tenant-store.ts';

/** The tenant of an Authorization header: `Basic` with key id and secret, or `Bearer` with the secret. */
export function tenantOfHeader(header: string | undefined, tenants: TenantStore): TenantId | undefined {
  const [scheme = '', credentials = ''] = (header ?? '').trim().split(/ +/, 2);
  switch (scheme.toLowerCase()) {
    case 'basic': {
      const text = Buffer.from(credentials, 'base64').toString();
      const colon = text.indexOf(':');
      return colon < 0 ? undefined : tenants.authenticate(text.slice(0, colon), text.slice(colon + 1));
    }
    case 'bearer':
      return tenants.authenticateSecret(credentials);
    default:
      return undefined;
  }
}
