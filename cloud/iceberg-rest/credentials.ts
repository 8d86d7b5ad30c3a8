import type { TenantId } from '../../lake/model/ids.ts';
import { prefixOf } from '../../lake/object-store/s3/prefix.ts';
import type { StoreSettings } from '../../lake/object-store/settings.ts';
import { openRoleSessions, type RoleSessionsOptions } from '../sts/role-sessions.ts';
import { s3FileConfig } from './file-config.ts';

// Credentials that other engines read a table with, cut down to that table's objects.

/** As the specification's StorageCredential. */
export interface StorageCredential {
  /** Of all the locations they are for; the policy is narrower. */
  readonly prefix: string;
  readonly config: Readonly<Record<string, string>>;
}

export interface CredentialVendor extends Disposable {
  /** The same for a while, so that not each load costs a request. Throws FirnError `unavailable`. */
  credentialsOf(tenant: TenantId, table: string): Promise<StorageCredential>;
}

interface VendorOptions extends Omit<RoleSessionsOptions, 'roleSetting'> {
  /** The URI of a key. */
  readonly locationOf: (key: string) => string;
}

export function s3CredentialVendor(options: VendorOptions): CredentialVendor {
  const { store, locationOf } = options;
  const sessions = openRoleSessions({ ...options, roleSetting: 'iceberg.vendRoleArn' });
  return {
    credentialsOf: async (tenant, table) => {
      const session = await sessions.sessionOf(`${tenant}/${table}`, readPolicy(store, tenant, table));
      return {
        prefix: locationOf(`${tenant}/`),
        config: {
          's3.access-key-id': session.accessKeyId,
          's3.secret-access-key': session.secretAccessKey,
          's3.session-token': session.sessionToken,
          's3.session-token-expires-at-ms': String(session.expiresMs),
          ...s3FileConfig(store),
        },
      };
    },
    [Symbol.dispose]: sessions[Symbol.dispose],
  };
}

/** A table's files: its metadata and merged files in its folder, and what gateways shipped, which is never moved. */
function readPolicy({ bucket, prefix }: StoreSettings, tenant: TenantId, table: string): object {
  const root = prefixOf({ prefix });
  const keys = [`${root}${tenant}/lake/${table}/*`, `${root}${tenant}/inbox/*/segments/${table}/*`];
  return {
    Version: '2012-10-17',
    Statement: [
      {
        Effect: 'Allow',
        Action: ['s3:GetObject'],
        Resource: keys.map((key) => `arn:aws:s3:::${bucket}/${key}`),
      },
      {
        Effect: 'Allow',
        Action: ['s3:ListBucket'],
        Resource: [`arn:aws:s3:::${bucket}`],
        Condition: { StringLike: { 's3:prefix': keys } },
      },
    ],
  };
}
