import { FirnError } from '../../lake/base/errors.ts';
import type { Places } from './places.ts';
import type { SlotName, Slots } from './slots.ts';
import { forgetUpdate, readRelease, writeUpdateRecord } from './update-record.ts';

export interface InstallOptions {
  readonly slots: Slots;
  readonly places: Places;
  /** File of the bundle, on this machine. */
  readonly bundle: string;
  /** What the cloud has asked for, if it has. */
  readonly request?: { readonly rollout: number; readonly version: string };
  /** Whether shipments reach the cloud now: only then must they after the update. */
  readonly shipping: () => Promise<boolean>;
  readonly signal?: AbortSignal;
}

export interface Installed {
  readonly slot: SlotName;
  readonly fromVersion: string;
  readonly toVersion: string;
}

/**
 * Writes a signed bundle to the slot that does not run, while the gateway runs. The next start tries it. Throws FirnError
 * with the reason; then nothing is changed but perhaps the content of the other slot.
 */
export async function installUpdate(options: InstallOptions): Promise<Installed> {
  const { slots, places, bundle, request, signal } = options;
  const release = readRelease(places);
  const info = await slots.inspect(bundle);
  const wanted = `firn-${release.architecture}`;
  if (info.compatible !== wanted)
    throw refused(
      `the bundle is for ${info.compatible}, and this machine is ${wanted}`,
      'take the bundle for this machine',
    );
  if (isOlder(info.version, release.version))
    throw refused(
      `the bundle has version ${info.version}, older than ${release.version} allows`,
      'an update keeps or raises the first two numbers of the version; data formats are readable one release back',
    );
  if (request !== undefined && info.version !== request.version)
    throw refused(
      `the bundle has version ${info.version}, and the rollout is of ${request.version}`,
      'create another rollout with the URL of that version',
    );
  const { booted } = await slots.status();
  const slot: SlotName = booted === 'A' ? 'B' : 'A';
  const versions = { fromVersion: release.version, toVersion: info.version };
  const record = {
    ...{ ...versions, slot, shipped: await options.shipping() },
    ...(request && { rollout: request.rollout }),
  };
  writeUpdateRecord(places, { ...record, stage: 'installing' });
  try {
    await slots.install(bundle, signal);
  } catch (error) {
    forgetUpdate(places);
    throw error;
  }
  writeUpdateRecord(places, { ...record, stage: 'trying' });
  return { slot, ...versions };
}

/** By the first two numbers. */
function isOlder(version: string, than: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [thanMajor = 0, thanMinor = 0] = than.split('.').map(Number);
  return major < thanMajor || (major === thanMajor && minor < thanMinor);
}

const refused = (message: string, hint: string): FirnError =>
  new FirnError({ code: 'invalid', operation: 'install an update', subject: 'bundle', message, hint });
