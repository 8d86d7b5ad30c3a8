import { createHash } from 'node:crypto';
import { FirnError, hasCode, messageOf } from '../../lake/base/errors.ts';
import type { Signal } from '../../lake/model/batch.ts';
import { siteId, type TenantId } from '../../lake/model/ids.ts';
import { parseSegmentName } from '../../lake/model/keys.ts';
import { type ManifestSegment, parseManifest, type ShipmentManifest } from '../../lake/model/manifest.ts';
import { classOfSignal } from '../../lake/model/stream-class.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import {
  type FooterColumn,
  footerColumns,
  footerLength,
  footerTailBytes,
  textBounds,
} from '../../lake/parquet/parquet-footer.ts';
import { dayOfUs, dayText, tableSchemas } from '../../lake/schema/tables.ts';
import { isWidening } from '../catalog/evolve.ts';
import type { Arrival } from './inbox.ts';

// A gateway is trusted with its own prefix and no more: what a manifest says is checked against its key, and against
// the objects it names.

/** `size`: each segment has the length the manifest states. `sha256`: and the bytes. */
export type VerifyLevel = 'size' | 'sha256';

/** A larger manifest is refused unread. */
export const manifestBytesMax = 4 * 1024 * 1024;
/** Segments are hashed in parts of this size, so that memory doesn't grow with them. */
const partBytes = 8 * 1024 * 1024;
/** A larger Parquet footer is refused unread. */
const footerBytesMax = 16 * 1024 * 1024;
/** What is kept of the end of a segment while it is hashed; a longer footer costs a request more. */
const footerKeptBytes = 64 * 1024;

export interface Inspector {
  readonly store: ObjectStore;
  readonly tenant: TenantId;
  readonly level: VerifyLevel;
}

export type Reading =
  | { readonly kind: 'read'; readonly manifest: ShipmentManifest; readonly sha256: string }
  | { readonly kind: 'refused'; readonly reason: string };

/** Reads a manifest and checks all that can be checked without its segments. Throws what the store throws. */
export async function readShipment(
  { store, tenant }: Inspector,
  gateway: string,
  arrival: Arrival,
): Promise<Reading> {
  try {
    if (arrival.sizeBytes > manifestBytesMax)
      throw refuse(
        `the manifest has ${arrival.sizeBytes} bytes, more than ${manifestBytesMax} (manifestBytesMax)`,
      );
    const { body } = await store.get(arrival.key);
    const manifest = parseManifest(Buffer.from(body).toString(), arrival.key);
    checkIdentity(manifest, tenant, gateway, arrival);
    const keys = new Set<string>();
    for (const segment of manifest.segments) {
      checkSegment(segment, manifest);
      if (keys.has(segment.key)) throw refuse(`${segment.key} is listed twice`);
      keys.add(segment.key);
    }
    return { kind: 'read', manifest, sha256: createHash('sha256').update(body).digest('hex') };
  } catch (error) {
    if (hasCode(error, 'invalid')) return { kind: 'refused', reason: messageOf(error) };
    throw error;
  }
}

/** Why one of these segments is not what its manifest says; undefined when all are. Throws what the store throws. */
export async function whyNotAsStated(
  inspector: Inspector,
  site: string,
  segments: readonly ManifestSegment[],
): Promise<string | undefined> {
  try {
    for (const segment of segments) await checkObject(inspector, site, segment);
    return undefined;
  } catch (error) {
    // An absent segment will not come any more: a gateway puts its manifest last.
    if (hasCode(error, 'invalid') || hasCode(error, 'not-found')) return messageOf(error);
    throw error;
  }
}

function checkIdentity(
  manifest: ShipmentManifest,
  tenant: TenantId,
  gateway: string,
  { position }: Arrival,
): void {
  const expected = { tenant, gateway, epoch: position.epoch, number: position.number };
  for (const [field, value] of Object.entries(expected)) {
    const said = manifest[field as keyof typeof expected];
    if (said !== value)
      throw refuse(`it says ${field} ${JSON.stringify(said)}, but its key says ${JSON.stringify(value)}`);
  }
  siteId(manifest.site);
}

/** The name of a segment repeats what its manifest says of it. An older epoch than the manifest's is shipped again. */
function checkSegment(segment: ManifestSegment, manifest: ShipmentManifest): void {
  const { key, signal, day } = segment;
  const prefix = `${manifest.tenant}/inbox/${manifest.gateway}/segments/${signal}/`;
  if (!key.startsWith(prefix)) throw refuse(`segment ${key} is not under ${prefix}`);
  const name = parseSegmentName(key.slice(prefix.length));
  if (name?.day !== day || (name.class ?? classOfSignal(signal)) !== segment.class)
    throw refuse(`segment ${key} is not named after epoch, range, day and class of its rows`);
  if (name.epoch > manifest.epoch) throw refuse(`segment ${key} is of a later epoch than its shipment`);
  if (name.merge?.kind === 'after-commit')
    throw refuse(`segment ${key} was merged from committed segments: its rows were shipped before`);
  for (const timestampUs of [segment.minTimestampUs, segment.maxTimestampUs]) {
    if (dayText(dayOfUs(timestampUs)) !== day)
      throw refuse(`segment ${key} is of day ${day}, but holds a timestamp of ${timestampUs} µs`);
  }
  for (const { name: column, type } of tableSchemas[signal].columns) {
    for (const bound of [segment.bounds[column]?.min, segment.bounds[column]?.max]) {
      const whole = type === 'long' || type === 'timestamptz';
      if (bound !== undefined && whole && !isInt64(bound))
        throw refuse(`segment ${key}: bound ${JSON.stringify(bound)} of ${column} is not a 64-bit integer`);
    }
  }
}

const isInt64 = (text: string): boolean =>
  /^-?\d{1,19}$/.test(text) && BigInt.asIntN(64, BigInt(text)) === BigInt(text);

async function checkObject(
  { store, level }: Inspector,
  site: string,
  segment: ManifestSegment,
): Promise<void> {
  const { key, bytes, sha256 } = segment;
  if (level === 'size') {
    const { sizeBytes } = await store.head(key);
    if (sizeBytes !== bytes)
      throw refuse(`segment ${key} has ${sizeBytes} bytes; the manifest says ${bytes}`);
    return;
  }
  const hash = createHash('sha256');
  let read = 0;
  let end = new Uint8Array();
  while (read < bytes) {
    // The last part asks for one byte more than there should be: an object that is longer shows itself.
    const endByte = read + partBytes < bytes ? read + partBytes : bytes + 1;
    const part = await store.getRange(key, read, endByte);
    hash.update(part);
    read += part.byteLength;
    end = Buffer.concat([end.subarray(-footerKeptBytes), part.subarray(-footerKeptBytes)]);
    if (part.byteLength < partBytes) break;
  }
  if (read !== bytes)
    throw refuse(`segment ${key} has ${read > bytes ? 'more' : read} bytes; the manifest says ${bytes}`);
  if (hash.digest('hex') !== sha256)
    throw refuse(`segment ${key} doesn't have the SHA-256 that the manifest states`);
  await checkFooter(store, site, segment, end);
}

/**
 * Every row is of the gateway's own site, and every column can be read as the table's without changing a value. The
 * footer says so; its bytes were read for the checksum anyway.
 */
async function checkFooter(
  store: ObjectStore,
  site: string,
  { key, bytes, signal }: ManifestSegment,
  end: Uint8Array,
): Promise<void> {
  const length = footerLength(end);
  if (length === undefined || length + footerTailBytes > bytes)
    throw refuse(`segment ${key} is not a Parquet file`);
  if (length > footerBytesMax)
    throw refuse(
      `the footer of segment ${key} has ${length} bytes, more than ${footerBytesMax} (footerBytesMax)`,
    );
  const startByte = bytes - footerTailBytes - length;
  const footer =
    length + footerTailBytes <= end.byteLength
      ? end.subarray(-footerTailBytes - length, -footerTailBytes)
      : await store.getRange(key, startByte, startByte + length);
  let bounds: ReturnType<typeof textBounds>;
  let columns: readonly FooterColumn[];
  try {
    bounds = textBounds(footer, 'site');
    columns = footerColumns(footer);
  } catch {
    throw refuse(`the Parquet footer of segment ${key} cannot be read`);
  }
  const why = whyNotColumns(signal, columns);
  if (why !== undefined) throw refuse(`segment ${key}: ${why}`);
  const other = [bounds?.min, bounds?.max].find((value) => value !== undefined && value !== site);
  if (other !== undefined)
    throw refuse(
      `segment ${key} has rows of site ${JSON.stringify(other)}; the manifest says ${JSON.stringify(site)}`,
    );
}

/**
 * Why a column of a file can't be a column of the table; undefined when none is so. Columns that the table does not have
 * are no reason: they come from a newer gateway, and are read when the cloud is newer too.
 */
export function whyNotColumns(signal: Signal, columns: readonly FooterColumn[]): string | undefined {
  for (const { name, fieldId, type } of columns) {
    const column = tableSchemas[signal].columns.find((each) => each.name === name);
    const other = tableSchemas[signal].columns.find((each) => each.fieldId === fieldId);
    if (fieldId !== undefined && (other ?? column)?.name !== column?.name)
      return `column ${name} has field id ${fieldId}, which is that of ${other?.name}`;
    if (column && fieldId !== undefined && column.fieldId !== fieldId)
      return `column ${name} has field id ${fieldId}; the table's is ${column.fieldId}`;
    if (column && (type === undefined || !isWidening(type, column.type)))
      return `column ${name} is of type ${type ?? 'unknown'}, which can't be read as ${column.type} without changing values`;
  }
  return undefined;
}

function refuse(message: string): FirnError {
  return new FirnError({ code: 'invalid', operation: 'verify shipment', subject: 'shipment', message });
}
