/** What a local user may do: send, ask, and everything. */
export const roles = ['ingest', 'read', 'admin'] as const;
export type Role = (typeof roles)[number];

/** Who has the role admin may do what the others may. */
export const mayAct = (has: ReadonlySet<Role>, role: Role): boolean => has.has(role) || has.has('admin');
