import { FirnError } from '../../lake/base/errors.ts';
import { checkKey } from '../../lake/object-store/key.ts';
import { prefixOf } from '../../lake/object-store/s3/prefix.ts';
import type { Presigner } from '../../lake/object-store/s3/presign.ts';
import { boundHeaders, type SignableRequest } from '../../lake/object-store/s3/signed-elsewhere.ts';
import type { UploadPlace } from '../../provisioning/contract.ts';
import type { RoleSessionsOptions } from '../sts/role-sessions.ts';
import type { DeviceAccess } from './sessions.ts';

// Where gateways ship to, and with what: credentials for a while, that write below the gateway's own inbox, read its own
// outbox, and do nothing else; or, where there is no role to give sessions of, a signature for each request that does.
// Who steals them can add files that no manifest of that gateway names.

export interface Uploads extends Disposable {
  /** Throws FirnError `invalid` when gateways of this cloud bring their own credentials. */
  placeFor(who: DeviceAccess): Promise<UploadPlace>;
  /** The query to send a request with. Throws FirnError `denied` when the gateway may not make it, `invalid` as above. */
  sign(who: DeviceAccess, request: SignableRequest): Promise<Readonly<Record<string, string>>>;
}

type UploadsOptions = Omit<RoleSessionsOptions, 'roleSetting'> & {
  /** How long a signed request counts. */
  readonly presignedSeconds: number;
};

/** Sessions where there is a role, signatures else; neither for a store that is a folder. */
export async function openUploads(options: UploadsOptions): Promise<Uploads> {
  if (options.store.kind !== 's3')
    return {
      ...{ placeFor: () => Promise.reject(none()), sign: () => Promise.reject(none()) },
      [Symbol.dispose]: () => undefined,
    };
  return options.roleArn === '' ? signedUploads(options) : sessionUploads(options);
}

async function sessionUploads(options: UploadsOptions): Promise<Uploads> {
  const { store, clock } = options;
  const { endpoint, region, bucket, pathStyle } = store;
  // The SDK takes a while to load, and only this kind needs it.
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
    sign: () => Promise.reject(none()),
    [Symbol.dispose]: sessions[Symbol.dispose],
  };
}

async function signedUploads({ store, presignedSeconds }: UploadsOptions): Promise<Uploads> {
  const { endpoint, region, bucket, pathStyle } = store;
  const place = { endpoint, region, bucket, prefix: prefixOf(store), pathStyle, presigned: true } as const;
  let opened: Presigner | undefined;
  return {
    placeFor: async () => place,
    sign: async (who, request) => {
      const why = whyNotSigned(who, request);
      if (why !== undefined) throw notSigned(request.key, why);
      // As above.
      opened ??= (await import('../../lake/object-store/s3/presign.ts')).openPresigner(store);
      return opened.presign(request, presignedSeconds);
    },
    [Symbol.dispose]: () => opened?.[Symbol.dispose](),
  };
}

/** What may be signed: by method and parameters of the query. `x-id` is the SDK's name of the operation. */
const forms: readonly { readonly method: string; readonly parameters: string; readonly box: string }[] = [
  { method: 'GET', parameters: '', box: 'outbox' },
  { method: 'PUT', parameters: '', box: 'inbox' },
  // Large files in parts.
  { method: 'POST', parameters: 'uploads', box: 'inbox' },
  { method: 'PUT', parameters: 'partNumber uploadId', box: 'inbox' },
  { method: 'POST', parameters: 'uploadId', box: 'inbox' },
  { method: 'DELETE', parameters: 'uploadId', box: 'inbox' },
];

/** S3's limit of one put. */
const putBytesMax = 5 * 1024 ** 3;

function whyNotSigned(
  { tenant, gateway }: DeviceAccess,
  { method, key, query, headers }: SignableRequest,
): string | undefined {
  const names = Object.keys(query).filter((name) => name !== 'x-id');
  const parameters = names.toSorted().join(' ');
  const form = forms.find((each) => each.method === method && each.parameters === parameters);
  if (form === undefined) return 'a gateway writes into its inbox and reads its outbox, nothing else';
  checkKey('sign', key);
  const box = `${tenant}/${form.box}/${gateway}/`;
  if (!key.startsWith(box)) return `it is not below ${box}`;
  const unknown = Object.keys(headers).find((name) => !boundHeaders.includes(name));
  if (unknown !== undefined) return `its header ${unknown} is none that is signed`;
  if (method !== 'PUT') return undefined;
  if (!/^[0-9a-f]{64}$/.test(headers['x-amz-content-sha256'] ?? ''))
    return 'it does not say the SHA-256 of its body (x-amz-content-sha256)';
  const length = headers['content-length'] ?? '';
  if (!/^\d{1,10}$/.test(length) || Number(length) > putBytesMax)
    return `it does not say how long its body is, or it is longer than ${putBytesMax} bytes (putBytesMax)`;
  return undefined;
}

const notSigned = (key: string, why: string): FirnError =>
  new FirnError({
    ...{ code: 'denied', operation: 'sign request', subject: key },
    message: `a request for ${key} is not signed: ${why}`,
  });

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
    hint: 'set store.kind of the gateway to s3 or directory, with credentials of its own; a cloud whose store.kind is s3 gives some',
  });
