import type { Logger } from '../../lake/base/log.ts';
import { repeat } from '../../lake/base/repeat.ts';
import { addLine, type ChangeContext } from './changes.ts';

/** Lines that are younger stay, whatever the database is asked for. */
export const auditKeepDaysMin = 30;

const lookMs = 3_600_000;
/** Lines of one statement, so that nobody waits for it. */
const linesPerDelete = 5_000;

export interface AuditRetention extends AsyncDisposable {
  /** Now. Returns how many lines were removed. */
  removeOld(): Promise<number>;
}

/** Removes lines of the audit log that are older than `keepDays`, now and then, and says so in it. 0: keeps all. */
export function keepAuditFor(
  keepDays: number,
  { db, clock }: Pick<ChangeContext, 'db' | 'clock'>,
  logger: Logger,
): AuditRetention {
  const removeOld = async (): Promise<number> => {
    if (keepDays === 0) return 0;
    const beforeMs = clock.nowMs() - keepDays * 86_400_000;
    let removed = 0;
    for (;;) {
      const old = db.selectFrom('audit').select('id').where('at_ms', '<', beforeMs).orderBy('id');
      const { numDeletedRows } = await db
        .deleteFrom('audit')
        .where('id', 'in', old.limit(linesPerDelete))
        .executeTakeFirst();
      if (Number(numDeletedRows) === 0) break;
      removed += Number(numDeletedRows);
    }
    if (removed === 0) return 0;
    const detail = { lines: removed, before: new Date(beforeMs).toISOString() };
    const what = { action: 'remove audit lines', tenant: undefined, subject: 'audit', detail };
    await addLine(db, clock.nowMs(), { name: 'cloud', address: '' }, what, 'done');
    return removed;
  };
  const failing = 'old lines of the audit log are not removed';
  const removing = repeat({ clock, logger, everyMs: lookMs, failing }, async () => void (await removeOld()));
  return { removeOld, [Symbol.asyncDispose]: removing[Symbol.asyncDispose] };
}
