import type { TenantDatabase } from './database.ts';

/** Lines of the audit log in one answer. */
export const auditLinesMax = 1_000;

interface AuditLine {
  readonly id: number;
  readonly atMs: number;
  readonly actor: string;
  readonly address: string;
  readonly action: string;
  readonly tenant: string | undefined;
  readonly subject: string;
  readonly detail: unknown;
}

/** Who changed what, the newest first. */
export interface AuditLog {
  /** `beforeId` goes on where an answer ended. `tenant`: lines about it alone. */
  auditLog(asked: {
    readonly tenant?: string | undefined;
    readonly beforeId?: number | undefined;
    readonly limit: number;
  }): Promise<readonly AuditLine[]>;
}

export function openAuditLog(db: TenantDatabase): AuditLog {
  return {
    auditLog: async ({ tenant, beforeId, limit }) => {
      let lines = db.selectFrom('audit').selectAll();
      if (tenant !== undefined) lines = lines.where('tenant', '=', tenant);
      if (beforeId !== undefined) lines = lines.where('id', '<', beforeId);
      const rows = await lines.orderBy('id', 'desc').limit(Math.min(limit, auditLinesMax)).execute();
      return rows.map((row) => ({
        ...{ id: Number(row.id), atMs: Number(row.at_ms), actor: row.actor, address: row.address },
        ...{ action: row.action, tenant: row.tenant ?? undefined, subject: row.subject },
        detail: JSON.parse(row.detail) as unknown,
      }));
    },
  };
}
