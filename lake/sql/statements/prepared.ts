import type { Node } from 'libpg-query';
import { as, castTo, type Fields } from '../ast.ts';
import { SqlError } from '../errors.ts';
import { printType } from '../print/types.ts';
import type { SqlStatement } from '../sql-session.ts';
import { done } from './statement.ts';

// PREPARE and EXECUTE as SQL. Statements that the protocol prepares have names of their own (pgwire/extended-query.ts).

export interface PreparedStatements {
  /** PREPARE or EXECUTE; undefined for any other node. */
  statement(node: Node, analyze: Analyze): Promise<SqlStatement | undefined>;
  has(name: string): boolean;
  /** Forgets one, or all. */
  deallocate(name: string | null): void;
}

type Analyze = (node: Node, declaredTypes?: readonly (string | null)[]) => Promise<SqlStatement>;

export function createPreparedStatements(preparedMax: number): PreparedStatements {
  const known = new Map<string, SqlStatement>();

  const prepare = async (
    { name = '', query, argtypes = [] }: Fields<'PrepareStmt'>,
    analyze: Analyze,
  ): Promise<SqlStatement> => {
    if (!query) throw new SqlError('42601', 'PREPARE without a statement');
    const types = argtypes.map((type) => printType(as(type, 'TypeName'), () => undefined).type);
    const statement = await analyze(query, types);
    return {
      kind: 'command',
      parameterTypes: [],
      describe: async () => undefined,
      execute: async () => {
        if (known.has(name)) throw new SqlError('42P05', `prepared statement "${name}" already exists`);
        if (known.size >= preparedMax)
          throw new SqlError('53400', `a session may have ${preparedMax} prepared statements`, {
            hint: 'DEALLOCATE some',
          });
        known.set(name, statement);
        return done('PREPARE');
      },
    };
  };

  const execute = async (
    { name = '', params = [] }: Fields<'ExecuteStmt'>,
    analyze: Analyze,
  ): Promise<SqlStatement> => {
    const statement = known.get(name);
    if (!statement) throw new SqlError('26000', `prepared statement "${name}" does not exist`);
    const wanted = statement.parameterTypes.length;
    if (params.length !== wanted)
      throw new SqlError('42601', `wrong number of parameters for prepared statement "${name}"`, {
        detail: `Expected ${wanted} parameters but got ${params.length}.`,
      });
    if (wanted === 0) return statement;
    const values = await analyze(textsOf(params));
    return {
      ...statement,
      parameterTypes: values.parameterTypes,
      execute: async (given, signal) => {
        await using result = await values.execute(given, signal);
        for await (const chunk of result.chunks())
          return statement.execute(
            params.map((_, index) => chunk.value(index, chunk.start) as string | null),
            signal,
          );
        throw new SqlError('XX000', 'parameters without a row');
      },
    };
  };

  return {
    statement: async (node, analyze) => {
      const prepared = as(node, 'PrepareStmt');
      if (prepared) return prepare(prepared, analyze);
      const executed = as(node, 'ExecuteStmt');
      return executed && execute(executed, analyze);
    },
    has: (name) => known.has(name),
    deallocate: (name) => {
      if (name === null) known.clear();
      else known.delete(name);
    },
  };
}

/** A SELECT of the values as text, which is what a statement takes. */
const textsOf = (params: readonly Node[]): Node => ({
  SelectStmt: {
    targetList: params.map((param): Node => ({ ResTarget: { val: castTo(param, 'text'), location: -1 } })),
    limitOption: 'LIMIT_OPTION_DEFAULT',
    op: 'SETOP_NONE',
  },
});
