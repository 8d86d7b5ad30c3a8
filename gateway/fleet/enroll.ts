import type { Clock } from '../../lake/base/clock.ts';
import { FirnError, hasCode, messageOf } from '../../lake/base/errors.ts';
import type { Logger } from '../../lake/base/log.ts';
import { backoffMs } from '../../lake/base/retry.ts';
import { isLoopback } from '../../lake/base/settings.ts';
import {
  adoptionAnswer,
  type EnrollAnswer,
  enrollAnswer,
  fleetPaths,
  keyHashOfSpki,
  parseClaim,
  parsePin,
} from '../../provisioning/contract.ts';
import { deviceCodeOf } from '../../provisioning/device-code.ts';
import { makeCertificateRequest } from './certificate-request.ts';
import { type CloudAddress, openCloudClient } from './cloud-client.ts';
import type { KeyStore } from './device-key.ts';
import type { EnrollmentState } from './enrollment-state.ts';
import { type Identity, identityFolder, keepEnrollment, keyToEnroll } from './identity.ts';

export interface EnrollOptions {
  readonly dataDir: string;
  /** Its `url` is empty where the claim says it. */
  readonly cloud: CloudAddress;
  readonly claim: string;
  /** Id that the gateway would like to have. */
  readonly gateway?: string | undefined;
  /** Where a key is made, if there is none yet. */
  readonly keyStore?: KeyStore;
}

/** Turns a claim into an identity, in the data folder. May be repeated when its end is not known. Throws FirnError. */
export async function enrollOnce(
  { dataDir, cloud, claim: text, gateway, keyStore }: EnrollOptions,
  signal?: AbortSignal,
): Promise<Identity> {
  const claim = parseClaim(text);
  const url = cloud.url || claim.url;
  if (url === undefined)
    throw new FirnError({
      ...{ code: 'invalid', operation: 'enroll', subject: 'cloud.url' },
      message: 'the claim does not say where the cloud is',
      hint: 'give its address by --cloud-url',
    });
  const folder = identityFolder(dataDir);
  const key = await keyToEnroll(folder, keyStore);
  using client = openCloudClient({ ...cloud, url });
  const body = {
    ...{ claim: text.slice(text.indexOf('#') + 1), certificateRequest: await makeCertificateRequest(key) },
    ...(gateway !== undefined && { gateway }),
  };
  const answered = await client.ask(fleetPaths.enroll, { body, ...(signal && { signal }) });
  const answer = enrollAnswer.safeParse(answered).data;
  if (answer === undefined) throw notOurs(url);
  return keepEnrollment(folder, { ...answer, url }, key, claim.pin);
}

interface AdoptOptions {
  readonly dataDir: string;
  readonly cloud: CloudAddress;
  /** Begins the hash of the key of the cloud's root; empty: not known. */
  readonly pin: string;
  readonly gateway?: string | undefined;
  /** The only tenant that may adopt it. */
  readonly tenant?: string | undefined;
  readonly keyStore?: KeyStore;
}

/**
 * Asks whether somebody has adopted this device by its code: its identity, or when to ask again, in milliseconds. Throws
 * FirnError.
 */
export async function askForAdoption(
  { dataDir, cloud, pin, gateway, tenant, keyStore }: AdoptOptions,
  signal?: AbortSignal,
): Promise<Identity | number> {
  const { url } = cloud;
  if (pin === '' && !isProtected(url)) throw unprotected(url);
  const folder = identityFolder(dataDir);
  const key = await keyToEnroll(folder, keyStore);
  using client = openCloudClient(cloud);
  const body = { certificateRequest: await makeCertificateRequest(key), gateway, tenant };
  const answered = await client.ask(fleetPaths.adoption, { body, ...(signal && { signal }) });
  const answer = adoptionAnswer.safeParse(answered).data;
  if (answer === undefined) throw notOurs(url);
  if ('againInSeconds' in answer) return answer.againInSeconds * 1000;
  const enrolled: EnrollAnswer = answer.enrolled;
  return keepEnrollment(folder, { ...enrolled, url }, key, pin === '' ? undefined : parsePin(pin));
}

/** Whether nobody on the way can answer for the cloud. */
function isProtected(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  const host = hostname.replaceAll(/[[\]]/g, '');
  return protocol === 'https:' || isLoopback(host);
}

export interface PatientOptions extends EnrollOptions, AdoptOptions {
  readonly gateway?: string | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Told when something about it is new. */
  readonly say: (state: EnrollmentState) => void;
  readonly random?: () => number;
}

/** Somebody may stand beside it. */
const waits = { retryMinMs: 1000, retryMaxMs: 15_000 } as const;
/** Devices that come again after the same time spread over this part of it. */
const spread = 0.2;

/**
 * The same until it is done: a box may be switched on before its network is. With a claim at first; one that is refused
 * will never count, so then, and without a claim, the device waits for who adopts it by its code.
 */
export async function enrollPatiently(options: PatientOptions, signal: AbortSignal): Promise<Identity> {
  const { claim, clock, random = Math.random } = options;
  const known = claim === '' ? undefined : parseClaim(claim);
  const cloud = { ...options.cloud, url: options.cloud.url || (known?.url ?? '') };
  const asking = { ...options, cloud, pin: options.pin || (known?.pin ?? '') };
  if (cloud.url === '') return enrollOnce(asking, signal);
  const say = saying(options);
  const { publicKey } = await keyToEnroll(identityFolder(options.dataDir), options.keyStore);
  const code = deviceCodeOf(keyHashOfSpki(publicKey));
  let claimRefused: string | undefined;
  let isReached = false;
  for (let failures = 0; ; ) {
    const byClaim = claim !== '' && claimRefused === undefined;
    const state = { kind: 'waiting' as const, url: cloud.url, ...(byClaim ? {} : { code }), claimRefused };
    if (failures === 0) say({ ...state, isReached });
    let waitMs = 0;
    try {
      const done = byClaim ? await enrollOnce(asking, signal) : await askForAdoption(asking, signal);
      if (typeof done !== 'number') return done;
      failures = 0;
      isReached = true;
      waitMs = done * (1 - spread * random());
    } catch (error) {
      signal.throwIfAborted();
      const problem = messageOf(error);
      const isOutage = hasCode(error, 'unavailable');
      isReached = false;
      if (byClaim && !isOutage) claimRefused = problem;
      else {
        failures++;
        say({ ...state, isReached, problem });
        const asked = isOutage ? (error.retryAfterMs ?? 0) : 0;
        waitMs = Math.max(backoffMs(failures, waits, random()), asked);
      }
    }
    await clock.sleep(waitMs, signal);
  }
}

/** Tells what is new alone: to the log and to whom `say` tells. */
function saying({ logger, say }: PatientOptions): (state: EnrollmentState) => void {
  let last = '';
  return (state) => {
    const text = JSON.stringify(state);
    if (text === last) return;
    last = text;
    logger.warn('not enrolled yet: nothing is taken before that', { ...state });
    say(state);
  };
}

const notOurs = (url: string): FirnError =>
  new FirnError({
    ...{ code: 'unavailable', operation: 'enroll', subject: url, answered: true },
    message: `the cloud at ${url} answers an enrollment with something else`,
  });

const unprotected = (url: string): FirnError =>
  new FirnError({
    ...{ code: 'invalid', operation: 'enroll', subject: 'cloud.pin' },
    message: `cloud.pin: over plain HTTP anybody on the way to ${url} could answer for the cloud; give its pin (firn gateways site-file prints it), or an https:// address`,
  });
