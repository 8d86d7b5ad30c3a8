import type { Clock } from '../../lake/base/clock.ts';
import { FirnError, hasCode, messageOf } from '../../lake/base/errors.ts';
import type { Logger } from '../../lake/base/log.ts';
import { backoffMs } from '../../lake/base/retry.ts';
import { enrollAnswer, fleetPaths, parseClaim } from '../../provisioning/contract.ts';
import { makeCertificateRequest } from './certificate-request.ts';
import { type CloudAddress, openCloudClient } from './cloud-client.ts';
import { type Identity, identityFolder, keepEnrollment, keyToEnroll } from './identity.ts';

export interface EnrollOptions {
  readonly dataDir: string;
  /** Its `url` is empty where the claim says it. */
  readonly cloud: CloudAddress;
  readonly claim: string;
  /** Id that the gateway would like to have. */
  readonly gateway?: string | undefined;
}

/** Turns a claim into an identity, in the data folder. May be repeated when its end is not known. Throws FirnError. */
export async function enrollOnce(
  { dataDir, cloud, claim: text, gateway }: EnrollOptions,
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
  const key = keyToEnroll(folder);
  using client = openCloudClient({ ...cloud, url });
  const body = {
    ...{ claim: text.slice(text.indexOf('#') + 1), certificateRequest: await makeCertificateRequest(key) },
    ...(gateway !== undefined && { gateway }),
  };
  const answered = await client.ask(fleetPaths.enroll, { body, ...(signal && { signal }) });
  const answer = enrollAnswer.safeParse(answered).data;
  if (answer === undefined)
    throw new FirnError({
      ...{ code: 'unavailable', operation: 'enroll', subject: url, answered: true },
      message: `the cloud at ${url} answers an enrollment with something else`,
    });
  return keepEnrollment(folder, { ...answer, url }, key, claim.pin);
}

const waits = { retryMinMs: 1000, retryMaxMs: 60_000 } as const;

/** The same until it is done: a box may be switched on before its network is. What is refused is thrown. */
export async function enrollPatiently(
  options: EnrollOptions & { readonly clock: Clock; readonly logger: Logger },
  signal: AbortSignal,
): Promise<Identity> {
  const { clock, logger } = options;
  for (let failures = 1; ; failures++) {
    try {
      return await enrollOnce(options, signal);
    } catch (error) {
      if (!hasCode(error, 'unavailable')) throw error;
      if (failures === 1)
        logger.warn('not enrolled yet: nothing is taken before that; trying again', {
          error: messageOf(error),
        });
      const waitMs = Math.max(backoffMs(failures, waits, Math.random()), error.retryAfterMs ?? 0);
      await clock.sleep(waitMs, signal);
    }
  }
}
