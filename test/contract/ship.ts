import { join } from 'node:path';
import type { Batch } from '../../lake/model/batch.ts';
import { gatewayId } from '../../lake/model/ids.ts';
import { segmentKey, segmentName } from '../../lake/model/keys.ts';
import type { ManifestSegment } from '../../lake/model/manifest.ts';
import { classOfSignal } from '../../lake/model/stream-class.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import type { SegmentWriter } from '../../lake/parquet/segment-writer.ts';
import { tenant } from './lake-fixtures.ts';
import { seriesOf } from './rows.ts';
import { manifestUpload } from './shipments.ts';

/** Puts a shipment of real segments where a gateway would. */
export async function ship(shipment: {
  readonly writer: SegmentWriter;
  readonly store: ObjectStore;
  /** Where segments are written first. */
  readonly folder: string;
  readonly gateway: string;
  readonly number: number;
  readonly batches: readonly Batch[];
  /** Of the rows; the manifest says `plant`. */
  readonly site?: string;
}): Promise<void> {
  const { writer, store, folder, gateway, number, batches } = shipment;
  const [fromSeq, toSeq] = [(number - 1) * 10, number * 10];
  const segments: ManifestSegment[] = [];
  for (const batch of batches) {
    const files = await writer.write({
      signal: batch.signal,
      site: shipment.site ?? 'plant',
      batches: [batch],
      labelsOf: (ids) => new Map([...ids].map((id) => [id, seriesOf(id)])),
      pathOf: (day) => join(folder, `${gateway}-${number}-${batch.signal}-${day}.parquet`),
    });
    for (const { path, ...file } of files) {
      const alarms = classOfSignal(batch.signal) === 'alarms' ? ({ class: 'alarms' } as const) : {};
      const name = segmentName({ epoch: 1, fromSeq, toSeq, day: file.day, ...alarms });
      const key = segmentKey(tenant, gatewayId(gateway), batch.signal, name);
      await store.putFile(key, path);
      const shared = { signal: batch.signal, class: classOfSignal(batch.signal), clock: 'trusted' as const };
      segments.push({ ...file, ...shared, key, columns: writer.columns });
    }
  }
  const { key, body } = manifestUpload({
    format: 2,
    tenant,
    site: 'plant',
    gateway,
    epoch: 1,
    number,
    composedUs: 1,
    segments,
    metadata: [{ name: 'up', type: 'gauge', help: 'whether it is', unit: '' }],
    progress: {},
  });
  await store.put(key, body);
}
