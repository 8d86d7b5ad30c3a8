import type { Signal } from '../../lake/model/batch.ts';
import type { ShippingProgress } from '../../lake/model/progress.ts';
import type { Receipt, RefusedShipment } from '../../lake/model/receipt.ts';
import type { EarlierSegments } from './earlier-segments.ts';
import { type Mark, origin, type Position } from './marks.ts';

/** What this process knows of one gateway. All of it can be found out again from the tables' marks and the store. */
export interface GatewayProgress {
  /** Everything up to here is in every table that it belongs to, or refused. */
  done: Position;
  /** Per table: the newest mark seen. */
  readonly seen: Map<Signal, Mark>;
  /** Per table: shipments looked at since its mark moved. */
  readonly lag: Map<Signal, number>;
  /** What was said already, so that it is logged and counted once. */
  readonly said: Set<string>;
  /** The newest that were refused, in order; undefined before the quarantine was read. */
  refused: RefusedShipment[] | undefined;
  /** Needed while the gateway ships segments of earlier epochs again. */
  earlier: EarlierSegments | undefined;
  /** Shipments in a row that did not need `earlier`. */
  earlierIdle: number;
  /** The last shipment that was taken. */
  last: LastShipment | undefined;
  /** The receipt in the outbox; undefined before it was looked for. */
  receipt: StoredReceipt | undefined;
}

export interface LastShipment {
  readonly position: Position;
  readonly site: string | undefined;
  /** Of the manifest's bytes. */
  readonly sha256: string;
  readonly progress: ShippingProgress;
  readonly committedUs: number;
}

export interface StoredReceipt {
  /** Undefined: there is none, or one that can't be read. */
  readonly receipt: Receipt | undefined;
  readonly etag: string | undefined;
  /** By the monotonic clock. */
  readonly putMs: number;
}

export const newProgress = (): GatewayProgress => ({
  done: origin,
  seen: new Map(),
  lag: new Map(),
  said: new Set(),
  refused: undefined,
  earlier: undefined,
  earlierIdle: 0,
  last: undefined,
  receipt: undefined,
});

/** Remembers so much; a gateway that causes more to be said starts over. */
const saidMax = 1_000;

export function sayOnce({ said }: GatewayProgress, what: string): boolean {
  if (said.has(what)) return false;
  if (said.size >= saidMax) said.clear();
  said.add(what);
  return true;
}
