import type { Clock } from '../../lake/base/clock.ts';
import { messageOf } from '../../lake/base/errors.ts';
import type { Logger } from '../../lake/base/log.ts';
import type { Actor } from './changes.ts';
import type { TenantStore } from './tenant-store.ts';

/** The same refusal is written once in this time, however often it is asked for. */
const sameMs = 60_000;
const rememberedMax = 10_000;

/** Writes what was refused into the audit log. */
export type NoteRefusal = (actor: Actor, tenant: string | undefined, action: string) => void;

export function noteRefusals(store: TenantStore, clock: Clock, logger: Logger): NoteRefusal {
  const noted = new Map<string, number>();
  return (actor, tenant, action) => {
    const key = `${actor.name} ${actor.address} ${action}`;
    const nowMs = clock.monotonicMs();
    if (nowMs - (noted.get(key) ?? Number.NEGATIVE_INFINITY) < sameMs) return;
    if (noted.size >= rememberedMax) noted.clear();
    noted.set(key, nowMs);
    store.refused(actor, { action, tenant, subject: actor.name }).catch((error: unknown) => {
      logger.error('a refusal is not in the audit log', { action, error: messageOf(error) });
    });
  };
}
