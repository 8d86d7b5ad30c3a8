import { join } from 'node:path';
import type { Logger } from '../../lake/base/log.ts';
import { writeSecretFile } from '../../lake/base/secret-file.ts';
import { tenantId } from '../../lake/model/ids.ts';
import type { ApiKey } from './api-key.ts';
import type { TenantStore } from './tenant-store.ts';

// What a cloud makes at its first start, so that somebody can use it: an operator's key, and the tenants of its
// configuration with a key each.

const itself = { name: 'cloud', address: '' };

/** The key of each tenant that is made, and the operator's, go into a file of their own. Returns the first tenant's. */
export async function makeTenants(
  config: {
    readonly dataDir: string;
    readonly tenants: readonly string[];
    /** Id and secret of the first tenant's key; empty: random ones. */
    readonly bootstrap: { readonly keyId: string; readonly keySecret: string };
  },
  store: TenantStore,
  logger: Logger,
): Promise<string> {
  const fileOf = (name: string): string => join(config.dataDir, 'keys', `${name}.key`);
  const { keyId, keySecret } = config.bootstrap;
  const known = new Set((await store.listTenants()).map(({ id }) => id));
  for (const [index, name] of config.tenants.entries()) {
    if (known.has(name)) continue;
    const given =
      index === 0 && keyId !== '' && keySecret !== '' ? { id: keyId, secret: keySecret } : undefined;
    const tenant = tenantId(name);
    await store.createTenant(tenant, itself);
    const spec = { description: 'made at the first start', scopes: ['read', 'ingest', 'admin'] } as const;
    const key = await store.createKey(tenant, spec, itself, given);
    writeSecretFile(fileOf(name), keyFileText(`Key of tenant ${name}.`, key));
    logger.info('made a tenant; its key is in a file that only this user can read', {
      ...{ tenant: name, file: fileOf(name) },
    });
  }
  if (!(await store.operatorExists())) {
    const spec = { description: 'made at the first start', scopes: [] };
    const key = await store.createKey(undefined, spec, itself);
    // No tenant has such a name.
    const file = fileOf('_operator');
    writeSecretFile(file, keyFileText('Key of the operator, who administers tenants.', key));
    logger.info('made the key of the operator; it is in a file that only this user can read', { file });
  }
  return fileOf(config.tenants[0] ?? 'demo');
}

const keyFileText = (what: string, { id, secret }: ApiKey): string =>
  `# ${what} To use it in a shell: . THIS_FILE
export FIRN_KEY='${id}:${secret}'
export PGUSER='${id}'
export PGPASSWORD='${secret}'
`;
