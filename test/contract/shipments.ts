import { createHash } from 'node:crypto';
import types from 'parquetjs-lite/gen-nodejs/parquet_types.js';
import util from 'parquetjs-lite/lib/util.js';
import type { Signal } from '../../lake/model/batch.ts';
import { gatewayId, type TenantId } from '../../lake/model/ids.ts';
import { manifestKey, segmentKey, segmentName } from '../../lake/model/keys.ts';
import { type ManifestSegment, printManifest, type ShipmentManifest } from '../../lake/model/manifest.ts';
import { classOfSignal } from '../../lake/model/stream-class.ts';
import { tenant } from './lake-fixtures.ts';

/** An object as a gateway would put it. */
export interface Upload {
  readonly key: string;
  readonly body: Uint8Array;
}

export interface MadeShipment {
  readonly manifest: ShipmentManifest;
  /** In the order a gateway puts them: the manifest last. */
  readonly uploads: readonly Upload[];
}

const dayUs = 86_400_000_000;
/** 2023-11-14. */
export const firstDayUs = 19_675 * dayUs;

/** A shipment whose segments hold made-up bytes: whoever doesn't read Parquet can't tell. */
export function madeShipment(options: {
  readonly tenant?: TenantId;
  readonly gateway: string;
  readonly epoch?: number;
  readonly number: number;
  readonly signals?: readonly Signal[];
  readonly metadata?: ShipmentManifest['metadata'];
  /** Of the rows in it, where it is not that of the manifest. */
  readonly site?: string;
  readonly progress?: ShipmentManifest['progress'];
}): MadeShipment {
  const { gateway, epoch = 1, number, signals = ['metrics'], metadata = [] } = options;
  const owner = options.tenant ?? tenant;
  const [fromSeq, toSeq] = [(number - 1) * 10, number * 10];
  const day = '2023-11-14';
  const made = signals.map((signal): { segment: ManifestSegment; upload: Upload } => {
    const alarms = classOfSignal(signal) === 'alarms' ? ({ class: 'alarms' } as const) : {};
    const name = segmentName({ epoch, fromSeq, toSeq, day, ...alarms });
    const key = segmentKey(owner, gatewayId(gateway), signal, name);
    const body = segmentBody(`segment ${key}\n`, options.site);
    const segment = {
      key,
      signal,
      day,
      rows: number,
      bytes: body.byteLength,
      sha256: createHash('sha256').update(body).digest('hex'),
      minTimestampUs: firstDayUs,
      maxTimestampUs: firstDayUs + number,
      bounds: { timestamp: { nulls: 0, min: String(firstDayUs), max: String(firstDayUs + number) } },
      columns: 'field-ids' as const,
      class: classOfSignal(signal),
      clock: 'trusted' as const,
    };
    return { segment, upload: { key, body } };
  });
  const manifest: ShipmentManifest = {
    format: 2,
    tenant: owner,
    site: 'plant',
    gateway,
    epoch,
    number,
    composedUs: firstDayUs + number,
    segments: made.map(({ segment }) => segment),
    metadata,
    progress: options.progress ?? {},
  };
  return { manifest, uploads: [...made.map(({ upload }) => upload), manifestUpload(manifest)] };
}

/** Bytes that end like a Parquet file whose rows are of one site. */
export function segmentBody(content: string | Uint8Array, site = 'plant'): Buffer {
  const statistics = new types.Statistics({ min_value: site, max_value: site });
  const chunk = new types.ColumnChunk({
    file_offset: 0,
    meta_data: new types.ColumnMetaData({ path_in_schema: ['site'], statistics }),
  });
  const footer = util.serializeThrift(
    new types.FileMetaData({ row_groups: [new types.RowGroup({ columns: [chunk] })] }),
  );
  const length = Buffer.alloc(4);
  length.writeUInt32LE(footer.byteLength);
  return Buffer.concat([Buffer.from(content), footer, length, Buffer.from('PAR1')]);
}

export const manifestUpload = (manifest: ShipmentManifest): Upload => ({
  key: manifestKey(manifest.tenant as TenantId, manifest.gateway, manifest.epoch, manifest.number),
  body: Buffer.from(printManifest(manifest)),
});
