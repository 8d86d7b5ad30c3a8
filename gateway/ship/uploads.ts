import { gapsBatch } from '../../lake/receive/gaps-builder.ts';
import type { ComposedShipment, WaitingSegment } from './backlog.ts';
import type { Lane } from './lanes.ts';
import { createPutSegment, gapOfDamaged, type PutSegment } from './put-segment.ts';
import { shipAgain } from './ship-again.ts';
import type { Shipping } from './shipper.ts';
import { uploadManifest } from './upload.ts';
import { createUploadSlots } from './upload-slots.ts';
import { withTimeout } from './with-timeout.ts';

/**
 * What goes to the store: segments side by side, by lane; then, one after another, the manifests that name them. A
 * number is given only when everything that its manifest names is stored, so that nothing large holds up a number.
 */
export interface Uploads extends AsyncDisposable {
  /** Does the next thing that can be done; false when there is nothing to do until the bell rings. */
  step(): Promise<boolean>;
}

/** So that a manifest stays small enough for the cloud to read (manifestBytesMax). */
const segmentsPerShipmentMax = 500;
/** What is uploaded waits so long for others to go into the same shipment. */
const composeWaitMsMax = 500;

export function createUploads(shipping: Shipping): Uploads {
  const { settings, backlog, composer } = shipping;
  const putSegment = createPutSegment(shipping);
  const consolidation = createConsolidation(shipping);
  const slots = createUploadSlots(shipping, putSegment, consolidation.mayShip);
  /** Since when something is uploaded that has no number. */
  let uploadedSinceMs: number | undefined;
  return {
    step: async () => {
      const composed = backlog.composed();
      if (composed !== undefined) {
        await finish(shipping, putSegment, composed);
        return true;
      }
      const failure = slots.takeFailure();
      if (failure !== undefined) throw failure;
      slots.fill();
      const paths = backlog.uploaded().slice(0, segmentsPerShipmentMax);
      if (paths.length > 0) {
        const nowMs = settings.clock.monotonicMs();
        uploadedSinceMs ??= nowMs;
        // More of what is new may be about to be there; but it may also never end.
        const late = nowMs - uploadedSinceMs >= composeWaitMsMax;
        if (late || slots.count('alarms') + slots.count('newest') === 0) {
          await composer.compose(paths);
          uploadedSinceMs = undefined;
          settings.reach('ship.composed');
          return true;
        }
      }
      if (slots.total === 0 && !consolidation.busy) settings.link.settled();
      return false;
    },
    [Symbol.asyncDispose]: async () => {
      await slots.allEnd();
      await consolidation[Symbol.asyncDispose]();
    },
  };
}

/** Puts the manifest of a composed shipment, and first what it names and is not there yet. */
async function finish(
  { settings, backlog, status, stop }: Shipping,
  putSegment: PutSegment,
  composed: ComposedShipment,
): Promise<void> {
  const { wal, clock, store, link, reach } = settings;
  const lost: WaitingSegment[] = [];
  for (const segment of backlog.missingOf(composed.number))
    if ((await putSegment('newest', segment)) === 'damaged') lost.push(segment);
  if (lost.length > 0) {
    const gaps = gapsBatch(lost.map(gapOfDamaged), settings.gateway);
    await wal.amendShipment(
      composed.number,
      lost.map(({ path }) => path),
      [gaps],
    );
    return; // and once more, with the manifest as it is now
  }
  const outcome = await withTimeout(settings, stop, Buffer.byteLength(composed.manifest), (signal) =>
    uploadManifest(store, composed, { signal }),
  );
  if (outcome === 'foreign') {
    await shipAgain(settings, { epoch: wal.epoch, number: composed.number });
    return;
  }
  reach('ship.manifest-put');
  const shippedUs = Math.round(clock.nowMs() * 1000);
  await wal.markShipped(composed.number, shippedUs, link.spent);
  reach('ship.shipped');
  status.requests++;
  status.shipments++;
  status.lastShippedUs = shippedUs;
  status.connected = true;
  status.backlog = backlog.size();
}

/** When more small files than this wait in the backlog, neighbours are made one first. */
const backlogFilesMax = 16;
const consolidateFilesMin = 8;
const consolidateIntervalMs = 30_000;

/** Makes few large files of the backlog's small ones before they are sent. */
function createConsolidation({ settings, bell }: Shipping) {
  const { clock, consolidate, link } = settings;
  const [filesMax, filesMin] = link.metered ? [1, 2] : [backlogFilesMax, consolidateFilesMin];
  let lastMs = Number.NEGATIVE_INFINITY;
  let running: Promise<void> | undefined;
  const start = (): void => {
    const done = (): void => {
      lastMs = clock.monotonicMs();
      running = undefined;
      bell.ring();
    };
    running = consolidate(filesMin).then(done, done); // a failure is logged there; the files go as they are
  };
  return {
    get busy() {
      return running !== undefined;
    },
    mayShip: (lane: Lane, waiting: number): boolean => {
      if (lane === 'alarms' || (lane === 'newest' && !link.metered)) return true;
      const due = waiting > filesMax && clock.monotonicMs() - lastMs >= consolidateIntervalMs;
      if (due && running === undefined) start();
      return running === undefined;
    },
    [Symbol.asyncDispose]: async () => {
      await running;
    },
  };
}
