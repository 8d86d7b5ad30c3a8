import type { AuditLine } from '../../lake/audit/audit-line.ts';
import { onceAMinute } from '../../lake/audit/once-a-minute.ts';
import type { Clock } from '../../lake/base/clock.ts';
import { messageOf } from '../../lake/base/errors.ts';
import type { Logger } from '../../lake/base/log.ts';
import type { LoginAttempts } from '../../lake/base/login-attempts.ts';
import type { AuditEntry, SecurityDatabase } from './security-database.ts';

/** What the gateway notes of itself and of who asks. */
export interface Audit {
  /** Adds a line; what can't be written is logged, and nothing waits for it. */
  note(entry: AuditEntry): void;
  /** The same once a minute, for what a client repeats. */
  noteRefusal(entry: Omit<AuditEntry, 'result'>): void;
  lines(tenant: string): AuditLine[];
}

const nameCharactersMax = 256;

export function openAudit(
  db: Pick<SecurityDatabase, 'addLine' | 'lines'>,
  clock: Pick<Clock, 'nowMs' | 'monotonicMs'>,
  logger: Logger,
): Audit {
  const isNew = onceAMinute(clock);
  const note = (entry: AuditEntry): void => {
    try {
      // A name is as long as its sender likes.
      db.addLine({ ...entry, actor: entry.actor.slice(0, nameCharactersMax) }, clock.nowMs());
    } catch (error) {
      logger.error('a line is not in the audit log', { action: entry.action, error: messageOf(error) });
    }
  };
  return {
    note,
    noteRefusal: (entry) => {
      const { actor, address, action, subject } = entry;
      if (isNew(`${address} ${action} ${subject} ${actor}`)) note({ ...entry, result: 'refused' });
    },
    lines: (tenant) => db.lines().map((line) => ({ ...line, tenant })),
  };
}

/** The same attempts, with a line for each that fails. `door`: what was to be entered. */
export const notedAttempts = (
  attempts: LoginAttempts,
  { noteRefusal }: Audit,
  door: string,
): LoginAttempts => ({
  waitMs: attempts.waitMs,
  succeeded: attempts.succeeded,
  failed: (address, actor) => {
    noteRefusal({ actor, address, action: 'log in', subject: door });
    attempts.failed(address, actor);
  },
});
