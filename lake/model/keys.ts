import type { Signal } from './batch.ts';
import type { GatewayId, TenantId } from './ids.ts';

// Object keys. Numbers are zero-padded so that listing by key is listing by number.

const EPOCH_DIGITS = 12;
const NUMBER_DIGITS = 16;
const pad = (value: number, digits: number): string => String(value).padStart(digits, '0');

export const inboxPrefix = (tenant: TenantId): string => `${tenant}/inbox/`;
export const manifestPrefix = (tenant: TenantId, gateway: GatewayId | string): string =>
  `${tenant}/inbox/${gateway}/manifests/`;

/** `<tenant>/inbox/<gateway>/manifests/<epoch>-<number>.json` */
export function manifestKey(
  tenant: TenantId,
  gateway: GatewayId | string,
  epoch: number,
  number: number,
): string {
  return `${manifestPrefix(tenant, gateway)}${pad(epoch, EPOCH_DIGITS)}-${pad(number, NUMBER_DIGITS)}.json`;
}

/** The file name of a segment: follows from the WAL range and the partition, so sealing again makes the same name. */
export function segmentName(epoch: number, fromSeq: number, toSeq: number, day: string): string {
  return `${pad(epoch, EPOCH_DIGITS)}-${pad(fromSeq, NUMBER_DIGITS)}-${pad(toSeq, NUMBER_DIGITS)}-${day}.parquet`;
}

/** `<tenant>/inbox/<gateway>/segments/<signal>/<name>` */
export function segmentKey(tenant: TenantId, gateway: GatewayId, signal: Signal, name: string): string {
  return `${tenant}/inbox/${gateway}/segments/${signal}/${name}`;
}

/** Where the lake of one table lives; data/ and metadata/ are below it. */
export const tablePrefix = (tenant: TenantId, table: Signal): string => `${tenant}/lake/${table}/`;
