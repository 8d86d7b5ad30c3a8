import type { Node } from 'libpg-query';
import { as, call, castTo, plainName, type Rule, text, textOf } from '../ast.ts';
import { catalogSchema } from '../catalog/view.ts';
import { nowFunction } from '../print/call.ts';
import { interval } from './intervals.ts';

const now = (location = -1): Node => call(nowFunction, [], location);

/** The clock and the functions that cut time into buckets. */
export const time: Rule = (node) => clock(node) ?? buckets(node) ?? intervalConstant(node);

/** now() and its relatives: the statement's own time, which prunes and filters alike. */
function clock(node: Node): Node | undefined {
  const found = as(node, 'FuncCall');
  if (found) {
    const name = plainName(found.funcname);
    const names = ['now', 'transaction_timestamp', 'statement_timestamp', 'clock_timestamp'];
    return names.includes(name ?? '') && !found.args ? now(found.location) : undefined;
  }
  const value = as(node, 'SQLValueFunction');
  switch (value?.op) {
    case 'SVFOP_CURRENT_TIMESTAMP':
    case 'SVFOP_CURRENT_TIMESTAMP_N':
      return now(value.location);
    case 'SVFOP_CURRENT_DATE':
      return castTo(now(), 'date', value.location);
    case 'SVFOP_CURRENT_TIME':
    case 'SVFOP_CURRENT_TIME_N':
    case 'SVFOP_LOCALTIME':
    case 'SVFOP_LOCALTIME_N':
      return castTo(now(), 'time', value.location);
    case 'SVFOP_LOCALTIMESTAMP':
    case 'SVFOP_LOCALTIMESTAMP_N':
      return castTo(now(), 'timestamp', value.location);
    default:
      return undefined;
  }
}

/** date_bin of PostgreSQL and time_bucket of TimescaleDB, whose width may be a text. */
function buckets(node: Node): Node | undefined {
  const found = as(node, 'FuncCall');
  const name = plainName(found?.funcname);
  if (!found || (name !== 'date_bin' && name !== 'time_bucket')) return undefined;
  const [width, ...rest] = found.args ?? [];
  const constant = textOf(width);
  if (!width) return undefined;
  const interval = constant === undefined ? width : castTo(text(constant), 'interval');
  const args = [intervalConstant(interval) ?? interval, ...rest];
  return call(name === 'date_bin' ? [catalogSchema, 'date_bin'] : 'time_bucket', args, found.location);
}

function intervalConstant(node: Node): Node | undefined {
  const cast = as(node, 'TypeCast');
  if (plainName(cast?.typeName?.names) !== 'interval' || cast?.typeName?.arrayBounds) return undefined;
  const constant = textOf(cast?.arg);
  if (constant === undefined) return undefined;
  const unit = as(cast?.typeName?.typmods?.[0], 'A_Const')?.ival?.ival;
  return castTo(text(interval(constant, unit)), 'interval', cast?.location);
}
