import { onceAMinute } from '../../lake/audit/once-a-minute.ts';
import type { Clock } from '../../lake/base/clock.ts';
import { messageOf } from '../../lake/base/errors.ts';
import type { Logger } from '../../lake/base/log.ts';
import type { Actor } from './changes.ts';
import type { TenantStore } from './tenant-store.ts';

/** Writes what was refused into the audit log. */
export type NoteRefusal = (actor: Actor, tenant: string | undefined, action: string) => void;

export function noteRefusals(store: TenantStore, clock: Clock, logger: Logger): NoteRefusal {
  const isNew = onceAMinute(clock);
  return (actor, tenant, action) => {
    if (!isNew(`${actor.name} ${actor.address} ${action}`)) return;
    store.refused(actor, { action, tenant, subject: actor.name }).catch((error: unknown) => {
      logger.error('a refusal is not in the audit log', { action, error: messageOf(error) });
    });
  };
}
