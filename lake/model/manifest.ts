import { z } from 'zod';
import { signals } from './batch.ts';
import { invalidDocument, parseDocument } from './document.ts';
import { parseSegmentName } from './keys.ts';
import { progressSchema } from './progress.ts';
import { classOfSignal, streamClasses } from './stream-class.ts';

/**
 * The manifest that commits a shipment: written last, after every segment that it names is stored. Manifests of a
 * gateway are numbered from 1 without holes within an epoch. Inside there is one shape, that of format 2; format 1 is
 * turned into it when it is read.
 */
export type ShipmentManifest = z.infer<typeof manifestSchema>;
export type ManifestSegment = ShipmentManifest['segments'][number];
export type ClockQuality = ManifestSegment['clock'];
/** What gateways wrote before they numbered shipments at composing. */
export type ShipmentManifest1 = z.infer<typeof manifestSchema1>;

const columnBounds = z.strictObject({
  /** Rows whose value is NULL. */
  nulls: z.number().int().nonnegative(),
  /** Smallest and largest value as text (integers and timestamps in decimal); absent when every row is NULL. */
  min: z.string().optional(),
  max: z.string().optional(),
});

const segmentSchema1 = z.strictObject({
  key: z.string(),
  signal: z.enum(signals),
  /** Partition: UTC day of every row's timestamp, YYYY-MM-DD. */
  day: z.string().regex(/^-?\d{4,6}-\d{2}-\d{2}$/),
  rows: z.number().int().positive(),
  bytes: z.number().int().positive(),
  /** Hex SHA-256 of the file. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  minTimestampUs: z.number().int(),
  maxTimestampUs: z.number().int(),
  /** By column name, for the columns that files are pruned by (name, series_id, stream_id, timestamp). */
  bounds: z.record(z.string(), columnBounds),
  /** `field-ids`: the file carries Iceberg field ids; `names`: columns are matched by name (parquetjs-lite). */
  columns: z.enum(['field-ids', 'names']),
});

const segmentSchema = z.strictObject({
  ...segmentSchema1.shape,
  class: z.enum(streamClasses),
  /**
   * Whether the times of receipt in it are right: `corrected` was wrong at first and put right before sealing,
   * `untrusted` was never known.
   */
  clock: z.enum(['trusted', 'corrected', 'untrusted']),
});

const identity = {
  tenant: z.string(),
  site: z.string(),
  gateway: z.string(),
  epoch: z.number().int().positive(),
  number: z.number().int().positive(),
};
/** Descriptions of metrics that are new or changed since the shipment before. */
const metadata = z.array(
  z.strictObject({ name: z.string(), type: z.string(), help: z.string(), unit: z.string() }),
);

const manifestSchema = z.strictObject({
  format: z.literal(2),
  ...identity,
  composedUs: z.number().int(),
  segments: z.array(segmentSchema),
  metadata,
  progress: progressSchema,
});

const manifestSchema1 = z.strictObject({
  format: z.literal(1),
  ...identity,
  /** WAL positions covered: (fromSeq, toSeq]. */
  fromSeq: z.number().int().nonnegative(),
  toSeq: z.number().int().positive(),
  sealedUs: z.number().int(),
  segments: z.array(segmentSchema1),
  metadata,
});

const anyFormat = z.discriminatedUnion('format', [manifestSchema1, manifestSchema]);

/** The bytes of a manifest: deterministic, so that writing it again writes the same object. */
export function printManifest(manifest: ShipmentManifest): string {
  return `${JSON.stringify(manifestSchema.parse(manifest))}\n`;
}

export function printManifest1(manifest: ShipmentManifest1): string {
  return `${JSON.stringify(manifestSchema1.parse(manifest))}\n`;
}

/** Reads a manifest from outside; throws FirnError `invalid` that names the field. */
export function parseManifest(text: string, key: string): ShipmentManifest {
  const manifest = parseDocument(anyFormat, text, 'shipment manifest', key);
  return manifest.format === 1 ? fromFormat1(manifest, key) : manifest;
}

/** In format 1 a manifest covers a WAL range, and its segments lie in it: so no two of them name the same segment. */
function fromFormat1(manifest: ShipmentManifest1, key: string): ShipmentManifest {
  const { fromSeq, toSeq, sealedUs, segments, ...same } = manifest;
  for (const segment of segments) {
    const name = parseSegmentName(segment.key.slice(segment.key.lastIndexOf('/') + 1));
    const inside = name?.epoch === same.epoch && name.fromSeq >= fromSeq && name.toSeq <= toSeq;
    if (!inside || name.class !== undefined || name.merge !== undefined)
      throw invalidDocument(
        'shipment manifest',
        key,
        `segment ${segment.key} is not named after epoch and range of its shipment`,
      );
  }
  return {
    ...same,
    format: 2,
    composedUs: sealedUs,
    segments: segments.map((segment) => ({
      ...segment,
      class: classOfSignal(segment.signal),
      clock: 'trusted',
    })),
    progress: {},
  };
}
