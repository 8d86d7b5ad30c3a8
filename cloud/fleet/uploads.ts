import { FirnError } from '../../lake/base/errors.ts';
import type { UploadPlace } from '../../provisioning/contract.ts';
import type { RoleSessionsOptions } from '../sts/role-sessions.ts';
import type { DeviceAccess } from './sessions.ts';

// Where gateways ship to, and with what: credentials for a while, that write below the gateway's own inbox, read its own
// outbox, and do nothing else. Who steals them can add files that no manifest of that gateway names.

export interface Uploads extends Disposable {
  /** Throws FirnError `invalid` when gateways of this cloud bring their own credentials. */
  placeFor(who: DeviceAccess): Promise<UploadPlace>;
}

export async function openUploads(options: Omit<RoleSessionsOptions, 'roleSetting'>): Promise<Uploads> {
  const { store, roleArn, clock } = options;
  const { kind, endpoint, region, bucket, pathStyle } = store;
  if (kind !== 's3' || roleArn === '')
    return { placeFor: () => Promise.reject(none()), [Symbol.dispose]: () => undefined };
  // The SDK takes a while to load, and only this kind needs it.
  const { prefixOf } = await import('../../lake/object-store/s3/s3-store.ts');
  const { openRoleSessions } = await import('../sts/role-sessions.ts');
  const sessions = openRoleSessions({ ...options, roleSetting: 'fleet.uploadRoleArn' });
  const prefix = prefixOf(store);
  return {
    placeFor: async (who) => {
      const policy = writePolicy(`${bucket}/${prefix}`, who);
      const session = await sessions.sessionOf(`${who.tenant}/${who.gateway}`, policy);
      const { expiresMs, ...credentials } = session;
      const expiresInSeconds = Math.max(1, (expiresMs - clock.nowMs()) / 1000);
      return { endpoint, region, bucket, prefix, pathStyle, ...credentials, expiresInSeconds };
    },
    [Symbol.dispose]: sessions[Symbol.dispose],
  };
}

function writePolicy(place: string, { tenant, gateway }: DeviceAccess): object {
  const allow = (actions: readonly string[], box: string) => ({
    Effect: 'Allow',
    Action: actions,
    Resource: [`arn:aws:s3:::${place}${tenant}/${box}/${gateway}/*`],
  });
  return {
    Version: '2012-10-17',
    Statement: [
      allow(['s3:PutObject', 's3:AbortMultipartUpload'], 'inbox'),
      allow(['s3:GetObject'], 'outbox'),
    ],
  };
}

const none = (): FirnError =>
  new FirnError({
    ...{ code: 'invalid', operation: 'give upload credentials', subject: 'store' },
    message: 'this cloud gives no credentials to upload with',
    hint: 'set store.kind of the gateway to s3 or directory, with credentials of its own; or fleet.uploadRoleArn of the cloud',
  });
