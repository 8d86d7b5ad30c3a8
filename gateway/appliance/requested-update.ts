import { chmodSync, existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { hasCode, messageOf } from '../../lake/base/errors.ts';
import { writeSecretFile } from '../../lake/base/secret-file.ts';
import { type Firmware, firmware, type GatewayReport } from '../../provisioning/contract.ts';
import type { Places } from './places.ts';
import { readJson } from './read-json.ts';
import { readRelease, readUpdateRecord } from './update-record.ts';

// An update that the cloud asks for. The gateway hears of it, and has no right to write a slot: it puts the request down in
// its own folder, and a service of root (firn-update.service) does what it says. That the request is honest is not relied
// on: what counts is the signature of the bundle. What came of it stands where the gateway may read and not write.

const requestSchema = firmware.extend({ rollout: z.number().int().positive() });
type UpdateRequest = z.infer<typeof requestSchema>;

type Told = NonNullable<NonNullable<GatewayReport['firmware']>['told']>;
/** What came of a request; `rollout` says of which. */
type Outcome = Told & { readonly state: 'applied' | 'refused' | 'rolled-back' };

/**
 * It is there from a request on until the service begins to look at it, so that systemd starts the service again for one
 * that comes while it runs: it would miss a mere change of a file then.
 */
export const requestMark = (places: Places): string => join(places.gateway, 'update/requested');
const requestFile = (places: Places): string => join(places.gateway, 'update/request.json');
const outcomeFile = (places: Places): string => join(places.config, 'update-outcome.json');
const detailMax = 1000;

/** The gateway's part. */
export interface FirmwareUpdates {
  /** The version that runs, and what became of the newest request. */
  said(): NonNullable<GatewayReport['firmware']>;
  request(rollout: number, wanted: Firmware): void;
}

/** Undefined on a machine that was not flashed with an image. */
export function firmwareUpdates(places: Places): FirmwareUpdates | undefined {
  if (!existsSync(places.release)) return undefined;
  return {
    said: () => {
      const { version } = readRelease(places);
      const told = toldOf(places);
      return { version, ...(told && { told }) };
    },
    request: (rollout, { version, url }) => {
      writeSecretFile(requestFile(places), JSON.stringify({ rollout, version, url }));
      writeSecretFile(requestMark(places), '');
    },
  };
}

function toldOf(places: Places): Told | undefined {
  const [request, outcome] = [readRequest(places), readOutcome(places)];
  if (request === undefined || request.rollout === outcome?.rollout) return outcome;
  return { rollout: request.rollout, state: 'trying' };
}

export interface RequestedOptions {
  readonly places: Places;
  /** Gives the file that it was fetched to. Throws FirnError `unavailable` where another try may succeed. */
  readonly fetchBundle: (url: string) => Promise<string>;
  readonly install: (bundle: string, request: UpdateRequest) => Promise<unknown>;
}

/**
 * Installs what the gateway has been asked for, if it is not done already. Gives whether the machine is to start again
 * with it. Throws FirnError `unavailable` where it is to be tried again later; each other failure becomes the outcome.
 */
export async function installRequested(options: RequestedOptions): Promise<boolean> {
  const { places, fetchBundle, install } = options;
  const request = readRequest(places);
  if (request === undefined || readOutcome(places)?.rollout === request.rollout) return false;
  if (readUpdateRecord(places) !== undefined) return false; // one waits for its judgement
  const { rollout } = request;
  const { version, architecture } = readRelease(places);
  if (request.version === version) {
    noteOutcome(places, { rollout, state: 'applied' });
    return installRequested(options); // another may have been asked for meanwhile
  }
  let bundle: string | undefined;
  try {
    bundle = await fetchBundle(request.url.replaceAll('{architecture}', architecture));
    await install(bundle, request);
    return true;
  } catch (error) {
    if (hasCode(error, 'unavailable')) throw error;
    noteOutcome(places, { rollout, state: 'refused', detail: messageOf(error).slice(0, detailMax) });
  } finally {
    if (bundle !== undefined) rmSync(bundle, { force: true });
  }
  return installRequested(options);
}

export function noteOutcome(places: Places, outcome: Outcome): void {
  const path = outcomeFile(places);
  writeSecretFile(path, JSON.stringify(outcome));
  chmodSync(path, 0o644); // no secret, and the gateway is to tell it
}

const outcomeSchema = z.object({
  rollout: z.number(),
  state: z.enum(['applied', 'refused', 'rolled-back']),
  detail: z.string().optional(),
});

const readRequest = (places: Places): UpdateRequest | undefined =>
  readJson(requestFile(places), requestSchema);
const readOutcome = (places: Places): Outcome | undefined => readJson(outcomeFile(places), outcomeSchema);
