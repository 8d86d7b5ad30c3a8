import { type AuditLine, auditLinesMax } from '../../lake/audit/audit-line.ts';
import { type Actor, addLine, type Change, type ChangeContext } from './changes.ts';

/** Who changed what, or was refused to, the newest first. */
export interface AuditLog {
  /** `beforeId` goes on where an answer ended. `tenant`: lines about it alone. */
  auditLog(asked: {
    readonly tenant?: string | undefined;
    readonly beforeId?: number | undefined;
    readonly limit: number;
  }): Promise<readonly AuditLine[]>;
  /** Adds a line about what was refused. */
  refused(actor: Actor, what: Change): Promise<void>;
}

export function openAuditLog({ db, clock }: Pick<ChangeContext, 'db' | 'clock'>): AuditLog {
  return {
    refused: async (actor, what) => addLine(db, clock.nowMs(), actor, what, 'refused'),
    auditLog: async ({ tenant, beforeId, limit }) => {
      let lines = db.selectFrom('audit').selectAll();
      if (tenant !== undefined) lines = lines.where('tenant', '=', tenant);
      if (beforeId !== undefined) lines = lines.where('id', '<', beforeId);
      const rows = await lines.orderBy('id', 'desc').limit(Math.min(limit, auditLinesMax)).execute();
      return rows.map((row) => ({
        ...{ id: Number(row.id), atMs: Number(row.at_ms), actor: row.actor, address: row.address },
        ...{ action: row.action, tenant: row.tenant ?? undefined, subject: row.subject, result: row.result },
        detail: JSON.parse(row.detail) as unknown,
      }));
    },
  };
}
