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
export interface Change {
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
  return async (actor, what, work) => {
    const result = await db.transaction().execute(async (tx) => {
      // First of all, so that changes come one after the other.
      await tx
        .updateTable('change')
        .set((each) => ({ count: each('count', '+', 1) }))
        .execute();
      const done = await work(tx);
      await addLine(tx, clock.nowMs(), actor, what, 'done');
      return done;
    });
    await changed();
    return result;
  };
}

/** The database lets nobody change or remove it again. */
export async function addLine(
  db: TenantDatabase,
  at_ms: number,
  actor: Actor,
  { action, tenant, subject, detail = {} }: Change,
  result: 'done' | 'refused',
): Promise<void> {
  const who = { actor: actor.name, address: actor.address, at_ms };
  const about = { action, tenant: tenant ?? null, subject, detail: JSON.stringify(detail) };
  const line = { ...who, ...about, result };
  await db.insertInto('audit').values(line).execute();
}

/** A time, or nothing, as the database gives it. */
export const optionalMs = (value: number | string | null): number | undefined =>
  value === null ? undefined : Number(value);
