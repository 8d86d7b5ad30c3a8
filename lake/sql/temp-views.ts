import type { Node } from 'libpg-query';
import type { SqlColumn } from './sql-session.ts';
import { createLevels, type TransactionEvent } from './temp-levels.ts';

// The views of one session (CREATE TEMP VIEW): a query that stands where its name does (passes/views.ts).

/** Views of one session; one more is refused (53400). */
export const tempViewsMax = 100;

export interface TempView {
  readonly name: string;
  /** Its names mean what they meant when the view was made. */
  readonly query: Node;
  /** Names of its first columns, where CREATE VIEW gave others. */
  readonly aliases: readonly string[];
  readonly columns: readonly SqlColumn[];
  /** As the client wrote the query. */
  readonly definition: string;
}

export interface TempViews {
  list(): readonly TempView[];
  find(name: string): TempView | undefined;
  set(view: TempView): void;
  drop(name: string): void;
  dropAll(): void;
  transaction(event: TransactionEvent): void;
}

export function createTempViews(): TempViews {
  const levels = createLevels<TempView>();
  return {
    list: () => [...levels.top().values()],
    find: (name) => levels.top().get(name),
    set: (view) => levels.top().set(view.name, view),
    drop: (name) => levels.top().delete(name),
    dropAll: () => levels.top().clear(),
    transaction: levels.move,
  };
}
