/** Lines that are read at once. */
export const auditLinesMax = 10_000;

/** Who has done what, from where, and what came of it. */
export interface AuditLine {
  readonly id: number;
  readonly atMs: number;
  readonly actor: string;
  /** Where it was asked from; empty: by a process on the machine itself. */
  readonly address: string;
  readonly action: string;
  readonly tenant: string | undefined;
  readonly subject: string;
  /** `done`, or `refused`: it was asked for, and nothing was changed. */
  readonly result: string;
  readonly detail: unknown;
}
