import type { DuckDBConnection } from '@duckdb/node-api';
import { SqlError } from './errors.ts';
import { identifier } from './print/expression.ts';
import { createLevels, type TransactionEvent } from './temp-levels.ts';

// The sequences of one session: those of CREATE TEMP SEQUENCE, and those behind columns that number their rows. As in
// PostgreSQL, making one belongs to its transaction, and taking a number does not.

/** Sequences that a session may make; those that it drops are freed when it ends. */
const tempSequencesMax = 1000;

/** Numbers as they are written. */
export interface SequenceOptions {
  readonly start?: string | undefined;
  readonly increment?: string | undefined;
  readonly minimum?: string | undefined;
  readonly maximum?: string | undefined;
  readonly cycles: boolean;
}

export interface TempSequence {
  readonly name: string;
  /** Its name in the engine, quoted. */
  readonly from: string;
}

export interface TempSequences {
  list(): readonly TempSequence[];
  find(name: string): TempSequence | undefined;
  /** Takes the place of one that has the name. Throws SqlError 53400. */
  create(name: string, options: SequenceOptions): Promise<TempSequence>;
  drop(name: string): void;
  dropAll(): void;
  transaction(event: TransactionEvent): void;
}

/** `home` is the session's schema in the engine, and a connection for it. */
export function createTempSequences(
  home: () => Promise<{ readonly connection: DuckDBConnection; readonly schema: string }>,
): TempSequences {
  const levels = createLevels<TempSequence>();
  let made = 0;
  return {
    list: () => [...levels.top().values()],
    find: (name) => levels.top().get(name),
    create: async (name, options) => {
      if (++made > tempSequencesMax)
        throw new SqlError('53400', `a session may make ${tempSequencesMax} sequences (tempSequencesMax)`);
      const { connection, schema } = await home();
      const from = `${schema}.${identifier(`${name} firn~s${made}`)}`;
      await connection.run(`CREATE SEQUENCE ${from}${optionsSql(options)}`);
      const sequence = { name, from };
      levels.top().set(name, sequence);
      return sequence;
    },
    drop: (name) => levels.top().delete(name),
    dropAll: () => levels.top().clear(),
    transaction: levels.move,
  };
}

function optionsSql({ start, increment, minimum, maximum, cycles }: SequenceOptions): string {
  const words = [
    ['INCREMENT BY', increment],
    ['MINVALUE', minimum],
    ['MAXVALUE', maximum],
    ['START WITH', start],
  ].flatMap(([word, value]) => (value === undefined ? [] : [` ${word} ${value}`]));
  return [...words, cycles ? ' CYCLE' : ''].join('');
}

/** SQL of the next number. */
export const nextvalSql = ({ from }: TempSequence): string => `nextval('${from.replaceAll("'", "''")}')`;
