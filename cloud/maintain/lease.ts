import { z } from 'zod';
import type { Clock } from '../../lake/base/clock.ts';
import { hasCode } from '../../lake/base/errors.ts';
import { parseDocument } from '../../lake/model/document.ts';
import type { TenantId } from '../../lake/model/ids.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';

// One maintainer acts per table. The lease only keeps the others from doing the same work; what makes it safe is its
// epoch: it grows with each holder, the table remembers the newest (fence.ts), and a commit of an older one is refused.

interface Lease {
  readonly epoch: number;
}

export interface LeaseKeeper {
  /** The lease, renewed when half of its time is over; undefined while another holds it. */
  hold(): Promise<Lease | undefined>;
  /** Gives it back, so that others need not wait. */
  release(): Promise<void>;
}

const leaseJson = z.object({
  format: z.literal(1),
  owner: z.string(),
  epoch: z.number().int().positive(),
  untilMs: z.number(),
});

export const maintainPrefix = (tenant: TenantId): string => `${tenant}/maintain/`;

export interface LeaseOptions {
  readonly store: ObjectStore;
  readonly tenant: TenantId;
  readonly table: string;
  readonly clock: Clock;
  /** Tells this process from all others, also from those before it. */
  readonly owner: string;
  readonly leaseMs: number;
}

export function leaseKeeper({ store, tenant, table, clock, owner, leaseMs }: LeaseOptions): LeaseKeeper {
  const key = `${maintainPrefix(tenant)}leases/${table}.json`;
  let held: { epoch: number; untilMs: number; etag: string } | undefined;

  async function write(epoch: number, untilMs: number, etag: string | undefined): Promise<Lease | undefined> {
    const body = Buffer.from(`${JSON.stringify({ format: 1, owner, epoch, untilMs })}\n`);
    try {
      const info =
        etag === undefined ? await store.putIfAbsent(key, body) : await store.putIfMatch(key, body, etag);
      held = { epoch, untilMs, etag: info.etag };
      return { epoch };
    } catch (error) {
      held = undefined;
      if (hasCode(error, 'conflict') || hasCode(error, 'not-found')) return undefined;
      throw error;
    }
  }

  return {
    hold: async () => {
      const nowMs = clock.nowMs();
      if (held && nowMs < held.untilMs - leaseMs / 2) return { epoch: held.epoch };
      if (held && nowMs < held.untilMs) return write(held.epoch, nowMs + leaseMs, held.etag);
      held = undefined;
      const found = await read(store, key);
      if (!found) return write(1, nowMs + leaseMs, undefined);
      // A holder whose clock runs far ahead doesn't keep the lease for longer than one lease lasts by ours.
      const isTaken = found.owner !== owner && nowMs < found.untilMs && found.untilMs - nowMs <= 2 * leaseMs;
      return isTaken ? undefined : write(found.epoch + 1, nowMs + leaseMs, found.etag);
    },
    release: async () => {
      if (held) await write(held.epoch, 0, held.etag);
      held = undefined;
    },
  };
}

async function read(store: ObjectStore, key: string) {
  try {
    const { body, etag } = await store.get(key);
    return { ...parseDocument(leaseJson, Buffer.from(body).toString(), 'lease', key), etag };
  } catch (error) {
    if (hasCode(error, 'not-found')) return undefined;
    throw error;
  }
}
