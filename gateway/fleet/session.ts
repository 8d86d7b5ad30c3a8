import type { Clock } from '../../lake/base/clock.ts';
import { FirnError, hasCode } from '../../lake/base/errors.ts';
import { signJws } from '../../lake/base/jws.ts';
import type { Logger } from '../../lake/base/log.ts';
import {
  challengeAnswer,
  fleetPaths,
  type SessionAnswer,
  sessionAnswer,
  sessionType,
} from '../../provisioning/contract.ts';
import { makeCertificateRequest } from './certificate-request.ts';
import type { CloudClient } from './cloud-client.ts';
import type { DeviceKey } from './device-key.ts';
import { type Identity, keepRenewal, nextKey } from './identity.ts';

/** A token is not used any more so long before it is over. */
const spareMs = 60_000;

/** Asks the cloud as this gateway. */
export interface CloudSession {
  readonly identity: Identity;
  /** `data` of the answer; throws FirnError as the client does. */
  ask(path: string, ask?: { readonly body?: object; readonly signal?: AbortSignal }): Promise<unknown>;
  /** Whether the cloud signs its receipts; begins a session to find out. Throws as `ask` does. */
  signsReceipts(signal: AbortSignal): Promise<boolean>;
  /** Changes to a new key. What the old one has opened goes on. */
  rotateKey(signal?: AbortSignal): Promise<void>;
}

/** Begins sessions when they are needed, and renews the certificate when the cloud says that it is time. */
export function openCloudSession(options: {
  readonly client: CloudClient;
  readonly identity: Identity;
  readonly folder: string;
  readonly clock: Clock;
  readonly logger: Logger;
}): CloudSession {
  const { client, folder, clock, logger } = options;
  let { identity } = options;
  let token: { readonly text: string; readonly untilMs: number } | undefined;
  let signsReceipts: boolean | undefined;
  const request = async (signal: AbortSignal | undefined, key?: DeviceKey): Promise<SessionAnswer> => {
    const { challenge } = parsed(challengeAnswer, await client.ask(fleetPaths.challenge, abortable(signal)));
    const payload = { challenge, ...(key && { certificateRequest: await makeCertificateRequest(key) }) };
    const signer = { certificates: identity.certificates, sign: identity.key.sign };
    const signed = await signJws({ typ: sessionType }, payload, signer);
    return parsed(
      sessionAnswer,
      await client.ask(fleetPaths.session, { body: { signed }, ...abortable(signal) }),
    );
  };
  const renew = async (key: DeviceKey, signal: AbortSignal | undefined): Promise<SessionAnswer> => {
    const answer = await request(signal, key);
    const renewed = answer.certificates && keepRenewal(folder, identity, answer.certificates, key);
    if (renewed === undefined) throw unfit(client.url, 'certificates that are not for this gateway');
    identity = renewed;
    logger.info('the certificate is renewed', { until: identity.certificates[0].validTo });
    return answer;
  };
  const begin = async (signal: AbortSignal | undefined): Promise<string> => {
    let answer = await request(signal);
    if (answer.renew) answer = await renew(identity.key, signal);
    token = { text: answer.token, untilMs: clock.monotonicMs() + answer.expiresInSeconds * 1000 - spareMs };
    signsReceipts = answer.signsReceipts;
    return answer.token;
  };
  const tokenNow = (signal: AbortSignal | undefined): Promise<string> | string =>
    token !== undefined && clock.monotonicMs() < token.untilMs ? token.text : begin(signal);
  return {
    get identity() {
      return identity;
    },
    ask: async (path, { body, signal } = {}) => {
      const asked = { ...(body && { body }), ...abortable(signal) };
      const before = token;
      try {
        return await client.ask(path, { ...asked, token: await tokenNow(signal) });
      } catch (error) {
        // The token may have ended early: the cloud was restored, or this gateway enrolled again.
        if (!hasCode(error, 'denied') || token !== before) throw error;
        return client.ask(path, { ...asked, token: await begin(signal) });
      }
    },
    signsReceipts: async (signal) => {
      await tokenNow(signal);
      return signsReceipts ?? false;
    },
    rotateKey: async (signal) => {
      await renew(await nextKey(folder, identity.key.keyStore), signal);
      await begin(signal);
    },
  };
}

const abortable = (signal: AbortSignal | undefined) => (signal === undefined ? {} : { signal });

function parsed<T>(
  schema: { safeParse(value: unknown): { readonly data?: T | undefined } },
  value: unknown,
): T {
  const { data } = schema.safeParse(value);
  if (data === undefined) throw unfit('the cloud', 'something else');
  return data;
}

const unfit = (url: string, what: string): FirnError =>
  new FirnError({
    ...{ code: 'unavailable', operation: 'ask the cloud', subject: url, answered: true },
    message: `${url} answers a session with ${what}`,
  });
