import type { Clock } from '../../lake/base/clock.ts';
import type { TenantDatabase } from './database.ts';

// A change of tenants or keys, the line that says who made it, and the count that tells others of it are one transaction.

/** Who asks for a change, for the audit log. */
export interface Actor {
  /** Id of a key, or a name of the process itself. */
  readonly name: string;
  /** Address that the request came from; empty for the process itself. */
  readonly address: string;
}

/** What the audit log says of a change. */
interface Change {
  readonly action: string;
  readonly tenant: string | undefined;
  readonly subject: string;
  readonly detail?: object;
}

export type Changes = <T>(actor: Actor, what: Change, work: (tx: TenantDatabase) => Promise<T>) => Promise<T>;

export interface ChangeContext {
  readonly db: TenantDatabase;
  readonly clock: Clock;
  readonly change: Changes;
}

/** `changed` is called after each change. */
export function openChanges(db: TenantDatabase, clock: Clock, changed: () => Promise<void>): Changes {
  return async (actor, { action, tenant = null, subject, detail = {} }, work) => {
    const result = await db.transaction().execute(async (tx) => {
      // First of all, so that changes come one after the other.
      await tx
        .updateTable('change')
        .set((each) => ({ count: each('count', '+', 1) }))
        .execute();
      const done = await work(tx);
      const who = { actor: actor.name, address: actor.address, at_ms: clock.nowMs() };
      const line = { ...who, action, tenant, subject, detail: JSON.stringify(detail) };
      await tx.insertInto('audit').values(line).execute();
      return done;
    });
    await changed();
    return result;
  };
}

/** A time, or nothing, as the database gives it. */
export const optionalMs = (value: number | string | null): number | undefined =>
  value === null ? undefined : Number(value);
