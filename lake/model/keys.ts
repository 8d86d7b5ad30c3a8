import type { Signal } from './batch.ts';
import type { GatewayId, TenantId } from './ids.ts';

// Object keys. Numbers are zero-padded so that listing by key is listing by number.

const EPOCH_DIGITS = 12;
const NUMBER_DIGITS = 16;
const pad = (value: number, digits: number): string => String(value).padStart(digits, '0');

export const inboxPrefix = (tenant: TenantId): string => `${tenant}/inbox/`;
export const manifestPrefix = (tenant: TenantId, gateway: GatewayId | string): string =>
  `${tenant}/inbox/${gateway}/manifests/`;

export const manifestName = (position: { readonly epoch: number; readonly number: number }): string =>
  `${pad(position.epoch, EPOCH_DIGITS)}-${pad(position.number, NUMBER_DIGITS)}.json`;

/** `<tenant>/inbox/<gateway>/manifests/<epoch>-<number>.json` */
export function manifestKey(
  tenant: TenantId,
  gateway: GatewayId | string,
  epoch: number,
  number: number,
): string {
  return `${manifestPrefix(tenant, gateway)}${manifestName({ epoch, number })}`;
}

/** `<tenant>/outbox/<gateway>/` is what the cloud writes for one gateway, and all of the cloud's that it may read. */
export const receiptKey = (tenant: TenantId, gateway: GatewayId | string): string =>
  `${tenant}/outbox/${gateway}/receipt.json`;

/** What the file name of a segment says: it follows from these, so sealing again makes the same name. */
export interface SegmentPlace {
  readonly epoch: number;
  /** WAL positions that its rows come from: (fromSeq, toSeq]. */
  readonly fromSeq: number;
  readonly toSeq: number;
  /** UTC day of its rows, YYYY-MM-DD. */
  readonly day: string;
  /** Absent: the class of its signal. */
  readonly class?: 'alarms' | undefined;
  /**
   * Absent: as it was sealed. `before-ship`: made of several that were not shipped yet. `after-commit`: of committed
   * ones, for local reading; never shipped. `count` tells the names of repeated merges apart.
   */
  readonly merge?: { readonly kind: 'before-ship' | 'after-commit'; readonly count: number } | undefined;
}

const mergeLetters = { b: 'before-ship', t: 'after-commit' } as const;

/** `<epoch>-<from>-<to>-<YYYY-MM-DD>[-alarms][-bN|-tN].parquet` */
export function segmentName({ epoch, fromSeq, toSeq, day, class: of, merge }: SegmentPlace): string {
  const range = `${pad(epoch, EPOCH_DIGITS)}-${pad(fromSeq, NUMBER_DIGITS)}-${pad(toSeq, NUMBER_DIGITS)}`;
  const suffix = merge === undefined ? '' : `-${merge.kind === 'before-ship' ? 'b' : 't'}${merge.count}`;
  return `${range}-${day}${of === 'alarms' ? '-alarms' : ''}${suffix}.parquet`;
}

const segmentNamePattern =
  /^(\d{12})-(\d{16})-(\d{16})-(-?\d{4,6}-\d{2}-\d{2})(-alarms)?(?:-([bt])([1-9]\d{0,8}))?\.parquet$/;

/** Undefined when no segment has such a name. */
export function parseSegmentName(name: string): SegmentPlace | undefined {
  const match = segmentNamePattern.exec(name);
  if (match === null) return undefined;
  const [, epoch, fromSeq, toSeq, day = '', alarms, letter, count] = match;
  return {
    epoch: Number(epoch),
    fromSeq: Number(fromSeq),
    toSeq: Number(toSeq),
    day,
    class: alarms === undefined ? undefined : 'alarms',
    merge:
      letter === undefined
        ? undefined
        : { kind: mergeLetters[letter as keyof typeof mergeLetters], count: Number(count) },
  };
}

/** `<tenant>/inbox/<gateway>/segments/<signal>/<name>` */
export function segmentKey(tenant: TenantId, gateway: GatewayId, signal: Signal, name: string): string {
  return `${tenant}/inbox/${gateway}/segments/${signal}/${name}`;
}

/** Where the lake of one table lives; data/ and metadata/ are below it. */
export const tablePrefix = (tenant: TenantId, table: string): string => `${tenant}/lake/${table}/`;
