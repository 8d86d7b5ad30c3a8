import type { Node } from 'libpg-query';
import { as, call, plainName, type Rule, text, textOf } from '../ast.ts';
import { SqlError } from '../errors.ts';
import { serverVersion } from '../names.ts';

/** Who asks, of what; the answers to current_user and its relatives. */
export interface Identity {
  readonly user: string;
  readonly database: string;
  /** What pg_backend_pid() says: the id that a cancel request names. */
  readonly processId: number;
}

export interface SettingsReader {
  /** The value of a setting; undefined when there is none of this name. */
  get(name: string): string | undefined;
}

/** Functions of the session become constants. `changes` receives what set_config asks for. */
export function identityRule(
  identity: Identity,
  settings: SettingsReader,
  changes: (name: string, value: string) => void,
  positionOf: (location: number | undefined) => number | undefined,
): Rule {
  return (node) => {
    const value = as(node, 'SQLValueFunction');
    if (value) return sessionValue(value.op ?? '', identity);
    const found = as(node, 'FuncCall');
    const name = plainName(found?.funcname);
    const args = found?.args ?? [];
    switch (name) {
      case 'current_user':
      case 'session_user':
        return text(identity.user);
      case 'current_database':
      case 'current_catalog':
        return text(identity.database);
      case 'current_schema':
        return text('public');
      case 'current_schemas':
        return call('string_split', [text('pg_catalog,public'), text(',')]);
      case 'version':
        return text(`PostgreSQL ${serverVersion} (Firn)`);
      case 'pg_backend_pid':
        return { A_Const: { ival: { ival: identity.processId }, location: -1 } };
      case 'current_setting':
        return currentSetting(args, settings, positionOf(found?.location));
      case 'set_config': {
        const [setting, wanted] = [textOf(args[0]), textOf(args[1])];
        if (setting === undefined || wanted === undefined) return undefined;
        changes(setting, wanted);
        return text(wanted);
      }
      default:
        return undefined;
    }
  };
}

function sessionValue(op: string, { user, database }: Identity): Node | undefined {
  if (/^SVFOP_(CURRENT_ROLE|CURRENT_USER|USER|SESSION_USER)$/.test(op)) return text(user);
  if (op === 'SVFOP_CURRENT_CATALOG') return text(database);
  return op === 'SVFOP_CURRENT_SCHEMA' ? text('public') : undefined;
}

function currentSetting(args: readonly Node[], settings: SettingsReader, position: number | undefined): Node {
  const name = textOf(args[0]);
  const missingOk = as(args[1], 'A_Const')?.boolval?.boolval === true;
  if (name === undefined) throw new SqlError('0A000', 'current_setting needs a constant name', { position });
  const value = settings.get(name);
  if (value !== undefined) return text(value);
  if (missingOk) return { A_Const: { isnull: true, location: -1 } };
  throw new SqlError('42704', `unrecognized configuration parameter "${name}"`, { position });
}
