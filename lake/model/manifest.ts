import { z } from 'zod';
import { FirnError } from '../base/errors.ts';
import { signals } from './batch.ts';

/**
 * The manifest that commits a shipment: written last, after every segment that it names is stored.
 * Manifests of a gateway are numbered from 1 without holes within an epoch.
 */
export type ShipmentManifest = z.infer<typeof manifestSchema>;
export type ManifestSegment = ShipmentManifest['segments'][number];

const columnBounds = z.strictObject({
  /** Rows whose value is NULL. */
  nulls: z.number().int().nonnegative(),
  /** Smallest and largest value as text (integers and timestamps in decimal); absent when every row is NULL. */
  min: z.string().optional(),
  max: z.string().optional(),
});

const segmentSchema = z.strictObject({
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

const manifestSchema = z.strictObject({
  format: z.literal(1),
  tenant: z.string(),
  site: z.string(),
  gateway: z.string(),
  epoch: z.number().int().positive(),
  number: z.number().int().positive(),
  /** WAL positions covered: (fromSeq, toSeq]. */
  fromSeq: z.number().int().nonnegative(),
  toSeq: z.number().int().positive(),
  sealedUs: z.number().int(),
  segments: z.array(segmentSchema),
  /** Descriptions of metrics that are new or changed since the shipment before. */
  metadata: z.array(
    z.strictObject({ name: z.string(), type: z.string(), help: z.string(), unit: z.string() }),
  ),
});

/** The bytes of a manifest: deterministic, so that writing it again writes the same object. */
export function printManifest(manifest: ShipmentManifest): string {
  return `${JSON.stringify(manifestSchema.parse(manifest))}\n`;
}

/** Reads a manifest from outside; throws FirnError `invalid` that names the field. */
export function parseManifest(text: string, key: string): ShipmentManifest {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw invalid(key, 'it is not JSON', cause);
  }
  const result = manifestSchema.safeParse(json);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw invalid(
    key,
    `${issue?.path.join('.') || 'manifest'}: ${issue?.message ?? 'not valid'}`,
    result.error,
  );
}

function invalid(key: string, why: string, cause: unknown): FirnError {
  return new FirnError({
    code: 'invalid',
    operation: 'read shipment manifest',
    subject: key,
    message: `shipment manifest ${key} is refused: ${why}`,
    cause,
  });
}
