import { AssumeRoleCommand, STSClient } from '@aws-sdk/client-sts';
import type { Clock } from '../../lake/base/clock.ts';
import { FirnError, messageOf } from '../../lake/base/errors.ts';
import type { TenantId } from '../../lake/model/ids.ts';
import { prefixOf } from '../../lake/object-store/s3/s3-store.ts';
import type { StoreSettings } from '../../lake/object-store/settings.ts';
import { s3FileConfig } from './file-config.ts';

// Credentials that other engines read a table with: a session of a role (STS AssumeRole) whose policy is cut down to
// that table's objects. The cloud's own keys are never given away.

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

export interface VendorOptions {
  readonly store: StoreSettings;
  /** The role to assume; it needs to be able to read the lake. */
  readonly roleArn: string;
  /** URL of the STS service; empty: the store's own endpoint, or AWS. */
  readonly stsEndpoint: string;
  readonly durationSeconds: number;
  /** The URI of a key. */
  readonly locationOf: (key: string) => string;
  readonly clock: Clock;
}

/** Credentials are given out again while more than this part of their time is left. */
const reusedUntil = 0.5;
/** Sessions held; beyond it the oldest are forgotten. */
const sessionsMax = 10_000;

interface Session {
  readonly credential: Promise<StorageCredential>;
  readonly untilMs: number;
}

export function s3CredentialVendor(options: VendorOptions): CredentialVendor {
  const { store, clock, durationSeconds } = options;
  const endpoint = options.stsEndpoint || store.endpoint;
  const client = new STSClient({
    region: store.region,
    ...(endpoint && { endpoint }),
    ...(store.accessKeyId && {
      credentials: { accessKeyId: store.accessKeyId, secretAccessKey: store.secretAccessKey },
    }),
  });
  const held = new Map<string, Session>();
  return {
    credentialsOf: (tenant, table) => {
      const name = `${tenant}/${table}`;
      const known = held.get(name);
      if (known && clock.monotonicMs() < known.untilMs) return known.credential;
      held.delete(name);
      const credential = assume(client, options, tenant, table);
      held.set(name, { credential, untilMs: clock.monotonicMs() + durationSeconds * 1000 * reusedUntil });
      credential.catch(() => held.delete(name));
      for (const oldest of held.keys()) {
        if (held.size <= sessionsMax) break;
        held.delete(oldest);
      }
      return credential;
    },
    [Symbol.dispose]: () => client.destroy(),
  };
}

async function assume(
  client: STSClient,
  { roleArn, durationSeconds, store, locationOf }: VendorOptions,
  tenant: TenantId,
  table: string,
): Promise<StorageCredential> {
  try {
    const { Credentials: credentials } = await client.send(
      new AssumeRoleCommand({
        RoleArn: roleArn,
        RoleSessionName: `firn-${tenant}-${table}`.replace(/[^\w+=,.@-]/g, '-').slice(0, 64),
        DurationSeconds: durationSeconds,
        Policy: JSON.stringify(readPolicy(store, tenant, table)),
      }),
    );
    return {
      prefix: locationOf(`${tenant}/`),
      config: {
        's3.access-key-id': credentials?.AccessKeyId ?? '',
        's3.secret-access-key': credentials?.SecretAccessKey ?? '',
        's3.session-token': credentials?.SessionToken ?? '',
        's3.session-token-expires-at-ms': String(credentials?.Expiration?.getTime() ?? 0),
        ...s3FileConfig(store),
      },
    };
  } catch (cause) {
    throw new FirnError({
      code: 'unavailable',
      operation: 'vend credentials',
      subject: roleArn,
      message: `no credentials could be made for ${tenant}.${table}: ${messageOf(cause)}`,
      hint: 'look at iceberg.vendRoleArn and at the role’s trust policy',
      cause,
    });
  }
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
