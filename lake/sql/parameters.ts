import { SqlError } from './errors.ts';

// Run-time parameters (SET, SHOW). Clients set them at start-up and some read them back. Those that would change what
// an answer looks like are fixed: setting them to the value they have is accepted, another value too where a client
// can't go on otherwise (`TimeZone`), and then has no effect: times are printed in UTC with their offset.

interface Parameter {
  readonly value: string;
  /** Another value is refused, or taken and ignored; otherwise it is kept for the session. */
  readonly other?: 'refused' | 'ignored';
}

const known: Readonly<Record<string, Parameter>> = {
  server_version: { value: '16.4', other: 'refused' },
  server_version_num: { value: '160004', other: 'refused' },
  server_encoding: { value: 'UTF8', other: 'refused' },
  client_encoding: { value: 'UTF8', other: 'ignored' },
  datestyle: { value: 'ISO, MDY', other: 'ignored' },
  timezone: { value: 'UTC', other: 'ignored' },
  intervalstyle: { value: 'postgres', other: 'ignored' },
  integer_datetimes: { value: 'on', other: 'refused' },
  standard_conforming_strings: { value: 'on', other: 'ignored' },
  is_superuser: { value: 'off', other: 'refused' },
  in_hot_standby: { value: 'off', other: 'refused' },
  // Temporary tables can be written, which is what clients want to know when they look for a server to write to (decision 0044).
  default_transaction_read_only: { value: 'off' },
  transaction_read_only: { value: 'off', other: 'ignored' },
  transaction_isolation: { value: 'repeatable read', other: 'ignored' },
  default_transaction_isolation: { value: 'repeatable read', other: 'ignored' },
  transaction_deferrable: { value: 'off', other: 'ignored' },
  application_name: { value: '' },
  search_path: { value: '"$user", public' },
  extra_float_digits: { value: '1' },
  client_min_messages: { value: 'notice' },
  bytea_output: { value: 'hex', other: 'ignored' },
  statement_timeout: { value: '0' },
  lock_timeout: { value: '0' },
  idle_in_transaction_session_timeout: { value: '0' },
  max_identifier_length: { value: '63', other: 'refused' },
  max_index_keys: { value: '32', other: 'refused' },
  row_security: { value: 'on' },
  escape_string_warning: { value: 'on' },
  jit: { value: 'off' },
};

const unitMs: Readonly<Record<string, number>> = {
  us: 0.001,
  ms: 1,
  s: 1000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Milliseconds of PostgreSQL's way to write a time, as in `500`, `500ms` or `2 min`. Throws SqlError 22023. */
export function millisecondsOf(name: string, text: string): number {
  const [, number, unit = 'ms'] = /^\s*(\d+(?:\.\d+)?)\s*([a-z]+)?\s*$/.exec(text) ?? [];
  const factor = unitMs[unit];
  if (number === undefined || factor === undefined) {
    throw new SqlError('22023', `invalid value for parameter "${name}": "${text}"`);
  }
  return Math.ceil(Number(number) * factor);
}

/** The names in the spelling that ParameterStatus and SHOW use. */
const spelling: Readonly<Record<string, string>> = {
  datestyle: 'DateStyle',
  timezone: 'TimeZone',
  intervalstyle: 'IntervalStyle',
};

/** What a client is told at the start and after each change (ParameterStatus). */
const reported = [
  'server_version',
  'server_encoding',
  'client_encoding',
  'application_name',
  'datestyle',
  'timezone',
  'intervalstyle',
  'integer_datetimes',
  'standard_conforming_strings',
  'is_superuser',
  'session_authorization',
  'default_transaction_read_only',
  'in_hot_standby',
  'search_path',
];

export interface Parameters {
  /** Reported parameters, by reported name; the same map while nothing changes. */
  readonly reported: ReadonlyMap<string, string>;
  /** Throws SqlError 42704 for a name that there is not. */
  show(name: string): { readonly name: string; readonly value: string };
  all(): readonly { readonly name: string; readonly value: string }[];
  /**
   * An undefined value is the default. `local` is until the end of the transaction, and has no effect outside of one.
   * Throws SqlError 42704 or 55P02 (can't be changed).
   */
  set(name: string, value: string | undefined, local?: boolean): void;
  /** Values that were set, by lower-case name; undefined when all are the defaults. */
  changed(): ReadonlyMap<string, string> | undefined;
  /** Another number whenever values may have changed. */
  version(): number;
  /** A transaction that did not commit, and SET LOCAL, leave no trace. */
  transaction(event: 'begin' | 'commit' | 'rollback'): void;
  /** As `set` when a client connects. Drivers ask for what some server once knew; what isn't known is ignored. */
  start(name: string, value: string): void;
  resetAll(): void;
}

export function createParameters(user: string): Parameters {
  let values = new Map<string, string>();
  /** In a transaction: what was set before it, and what a commit keeps. */
  let version = 0;
  let saved: { readonly before: Map<string, string>; readonly kept: Map<string, string> } | undefined;
  let told: { readonly version: number; readonly values: ReadonlyMap<string, string> } | undefined;
  const fixed = new Map([['session_authorization', user]]);
  const shown = (name: string): string => spelling[name] ?? name;
  const current = (name: string): string | undefined =>
    fixed.get(name) ?? values.get(name) ?? known[name]?.value;
  const unknown = (name: string): SqlError =>
    new SqlError('42704', `unrecognized configuration parameter "${name}"`);
  const names = (): string[] => [...Object.keys(known), ...fixed.keys()].toSorted();
  const set = (given: string, value: string | undefined, local = false): void => {
    version++;
    // Outside of a transaction there is nothing that SET LOCAL could last for, but its name has to be right.
    setIn(local ? new Map() : values, given, value);
    const inTransaction = local ? saved && values : saved?.kept;
    if (inTransaction) setIn(inTransaction, given, value);
  };
  const setIn = (values: Map<string, string>, given: string, value: string | undefined): void => {
    const name = given.toLowerCase();
    const parameter = known[name];
    // Names with a point are placeholders of extensions, which anyone may set.
    if (!parameter && !name.includes('.')) throw unknown(given);
    if (name.endsWith('_timeout') && value !== undefined) millisecondsOf(name, value);
    if (value === undefined) values.delete(name);
    else if (parameter?.other === 'refused' && value !== parameter.value) {
      throw new SqlError('55P02', `parameter "${given}" cannot be changed`);
    } else if (parameter?.other !== 'ignored') values.set(name, value);
  };
  return {
    get reported() {
      if (told?.version !== version)
        told = { version, values: new Map(reported.map((name) => [shown(name), current(name) ?? ''])) };
      return told.values;
    },
    show: (given) => {
      const name = given.toLowerCase();
      const value = current(name);
      if (value === undefined) throw unknown(given);
      return { name: shown(name), value };
    },
    all: () => names().map((name) => ({ name: shown(name), value: current(name) ?? '' })),
    set,
    start: (name, value) => {
      if (known[name.toLowerCase()]?.other !== 'refused' && known[name.toLowerCase()]) set(name, value);
    },
    version: () => version,
    changed: () => (values.size > 0 ? values : undefined),
    transaction: (event) => {
      if (event === 'begin') saved ??= { before: new Map(values), kept: new Map(values) };
      else if (saved) {
        version++;
        values = event === 'commit' ? saved.kept : saved.before;
        saved = undefined;
      }
    },
    resetAll: () => {
      version++;
      values.clear();
      saved?.kept.clear();
    },
  };
}
