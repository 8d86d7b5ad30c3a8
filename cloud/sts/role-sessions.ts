import { AssumeRoleCommand, STSClient } from '@aws-sdk/client-sts';
import type { Clock } from '../../lake/base/clock.ts';
import { FirnError, messageOf } from '../../lake/base/errors.ts';
import type { StoreSettings } from '../../lake/object-store/settings.ts';

// Credentials for others than the cloud: sessions of a role (STS AssumeRole) whose policy is cut down to what the one who
// gets them may do. The cloud's own keys are never given away.

interface RoleSession {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
  readonly expiresMs: number;
}

export interface RoleSessions extends Disposable {
  /** The same for a while, so that not each asker costs a request. Throws FirnError `unavailable`. */
  sessionOf(name: string, policy: object): Promise<RoleSession>;
}

export interface RoleSessionsOptions {
  readonly store: StoreSettings;
  /** The role to assume; it needs to be able to do all that is given away. */
  readonly roleArn: string;
  /** Its setting, for what goes wrong. */
  readonly roleSetting: string;
  /** URL of the STS service; empty: the store's own endpoint, or AWS. */
  readonly stsEndpoint: string;
  readonly durationSeconds: number;
  readonly clock: Clock;
}

/** A session is given out again while more than this part of its time is left. */
const reusedUntil = 0.5;
/** Sessions held; beyond it the oldest are forgotten. */
const sessionsMax = 10_000;

interface Held {
  readonly session: Promise<RoleSession>;
  readonly untilMs: number;
}

export function openRoleSessions(options: RoleSessionsOptions): RoleSessions {
  const { store, clock, durationSeconds } = options;
  const endpoint = options.stsEndpoint || store.endpoint;
  const client = new STSClient({
    region: store.region,
    ...(endpoint && { endpoint }),
    ...(store.accessKeyId && {
      credentials: { accessKeyId: store.accessKeyId, secretAccessKey: store.secretAccessKey },
    }),
  });
  const held = new Map<string, Held>();
  return {
    sessionOf: (name, policy) => {
      const known = held.get(name);
      if (known && clock.monotonicMs() < known.untilMs) return known.session;
      held.delete(name);
      const session = assume(client, options, name, policy);
      held.set(name, { session, untilMs: clock.monotonicMs() + durationSeconds * 1000 * reusedUntil });
      session.catch(() => held.delete(name));
      for (const oldest of held.keys()) {
        if (held.size <= sessionsMax) break;
        held.delete(oldest);
      }
      return session;
    },
    [Symbol.dispose]: () => client.destroy(),
  };
}

async function assume(
  client: STSClient,
  { roleArn, roleSetting, durationSeconds }: RoleSessionsOptions,
  name: string,
  policy: object,
): Promise<RoleSession> {
  try {
    const { Credentials: credentials } = await client.send(
      new AssumeRoleCommand({
        RoleArn: roleArn,
        RoleSessionName: `firn-${name}`.replace(/[^\w+=,.@-]/g, '-').slice(0, 64),
        DurationSeconds: durationSeconds,
        Policy: JSON.stringify(policy),
      }),
    );
    return {
      accessKeyId: credentials?.AccessKeyId ?? '',
      secretAccessKey: credentials?.SecretAccessKey ?? '',
      sessionToken: credentials?.SessionToken ?? '',
      expiresMs: credentials?.Expiration?.getTime() ?? 0,
    };
  } catch (cause) {
    throw new FirnError({
      code: 'unavailable',
      operation: 'vend credentials',
      subject: roleArn,
      message: `no credentials could be made for ${name}: ${messageOf(cause)}`,
      hint: `look at ${roleSetting} and at the role’s trust policy`,
      cause,
    });
  }
}
