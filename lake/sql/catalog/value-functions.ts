import type { Macro } from './view.ts';

// PostgreSQL's functions of values as macros: text, numbers, arrays, times and JSON, where DuckDB's function of the name
// differs or there is none.

/** Limits of what one call may make: DuckDB's own memory limit does not see these. */
export const textBytesMax = 16 * 1024 * 1024;
export const seriesItemsMax = 10_000_000;

const padded = (name: string, pad: string): string =>
  `CASE WHEN size > ${textBytesMax} THEN error('requested length too large') ELSE ${name}(item, size, ${pad}) END`;

/** Numbers and times are counted by their text, because a macro has no types. */
function series(step: string, list: string): string {
  const number = (of: string): string => `TRY_CAST(CAST(${of} AS VARCHAR) AS DOUBLE)`;
  const seconds = (of: string, type: string): string => `epoch(TRY_CAST(CAST(${of} AS VARCHAR) AS ${type}))`;
  const items = `abs(coalesce((${number('stop')} - ${number('start')}) / ${number(step)},
    (${seconds('stop', 'TIMESTAMPTZ')} - ${seconds('start', 'TIMESTAMPTZ')}) / ${seconds(step, 'INTERVAL')}, 0))`;
  return `CASE WHEN ${items} > ${seriesItemsMax} THEN error('a series may have ${seriesItemsMax} items') ELSE ${list} END`;
}

/** Words that quote_ident quotes (keywords that are not unreserved). */
const reservedWords = `['${(
  'all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both case cast ' +
    'char character check coalesce collate collation column concurrently constraint create cross current_catalog ' +
    'current_date current_role current_schema current_time current_timestamp current_user dec decimal default deferrable ' +
    'desc distinct do else end except exists extract false fetch float for foreign freeze from full grant greatest group ' +
    'grouping having ilike in initially inner inout int integer intersect interval into is isnull join lateral leading ' +
    'least left like limit localtime localtimestamp national natural nchar none normalize not notnull null nullif numeric ' +
    'offset on only or order out outer overlaps overlay placing position precision primary real references returning ' +
    'right row select session_user setof similar smallint some substring symmetric table tablesample then time timestamp ' +
    'to trailing treat trim true union unique user using values varchar variadic verbose when where window with xmlattributes'
).replaceAll(' ', "', '")}']`;

const texts: Readonly<Record<string, Macro>> = {
  // A cast to text; DuckDB prints a whole DOUBLE as 7.0.
  text_of: [
    [
      'item',
      `CASE WHEN typeof(item) IN ('DOUBLE', 'FLOAT') THEN regexp_replace(CAST(item AS VARCHAR), '\\.0$', '')
        ELSE CAST(item AS VARCHAR) END`,
    ],
  ],
  quote_ident: [
    [
      'name',
      `CASE WHEN regexp_full_match(name, '[a-z_][a-z0-9_$]*') AND NOT list_contains(${reservedWords}, name) THEN name ELSE '"' || replace(name, '"', '""') || '"' END`,
    ],
  ],
  quote_literal: [['item', `'''' || replace(CAST(item AS VARCHAR), '''', '''''') || ''''`]],
  quote_nullable: [
    ['item', `coalesce('''' || replace(CAST(item AS VARCHAR), '''', '''''') || '''', 'NULL')`],
  ],
  // Each part of a qualified name, folded to lower case unless it is quoted.
  parse_ident: [
    [
      'name',
      `list_transform(regexp_extract_all(name, '"(?:[^"]|"")*"|[^".\\s]+'), lambda part: CASE WHEN starts_with(part, '"')
        THEN replace(part[2:-2], '""', '"') ELSE lower(part) END)`,
    ],
  ],
  array_to_string: [
    [
      'list, separator',
      `CASE WHEN list IS NOT NULL THEN coalesce(list_aggregate(CAST(list AS VARCHAR[]), 'string_agg', separator), '') END`,
    ],
    [
      'list, separator, otherwise',
      `CASE WHEN list IS NOT NULL THEN coalesce(list_aggregate(list_transform(CAST(list AS VARCHAR[]),
        lambda item: coalesce(item, otherwise)), 'string_agg', separator), '') END`,
    ],
  ],
  string_to_array: [
    ['item, separator', `CASE WHEN item = '' THEN [] ELSE string_split(item, separator) END`],
    [
      'item, separator, absent',
      `list_transform(CASE WHEN item = '' THEN [] ELSE string_split(item, separator) END, lambda part: nullif(part, absent))`,
    ],
  ],
  array_length: [
    ['list, dimension', 'CASE WHEN dimension = 1 THEN CAST(nullif(len(list), 0) AS INTEGER) END'],
  ],
  array_upper: [
    ['list, dimension', 'CASE WHEN dimension = 1 THEN CAST(nullif(len(list), 0) AS INTEGER) END'],
  ],
  array_lower: [['list, dimension', 'CASE WHEN dimension = 1 AND len(list) > 0 THEN 1 END']],
  array_ndims: [['list', 'CASE WHEN len(list) > 0 THEN 1 END']],
  // A start before the first character takes from the length, and is not counted from the end.
  substr: [
    ['item, start', 'substring(item, greatest(start, 1))'],
    ['item, start, size', 'substring(item, greatest(start, 1), greatest(size + least(start, 1) - 1, 0))'],
  ],
  initcap: [
    [
      'item',
      `list_aggregate(list_transform(regexp_extract_all(item, '[[:alnum:]]+|[^[:alnum:]]+'),
        lambda part: upper(part[1]) || lower(part[2:])), 'string_agg', '')`,
    ],
  ],
  lpad: [
    ['item, size', padded('lpad', `' '`)],
    ['item, size, pad', padded('lpad', 'pad')],
  ],
  rpad: [
    ['item, size', padded('rpad', `' '`)],
    ['item, size, pad', padded('rpad', 'pad')],
  ],
  repeat: [
    [
      'item, times',
      `CASE WHEN strlen(item) * CAST(times AS DOUBLE) > ${textBytesMax} THEN error('requested length too large')
        ELSE repeat(item, times) END`,
    ],
  ],
  // generate_series as a list, which is in memory as a whole.
  series: [
    ['start, stop', series('1', 'generate_series(start, stop)')],
    ['start, stop, step', series('step', 'generate_series(start, stop, step)')],
  ],
  // The JSONPath of one step: a key is a key, whatever stands in it.
  json_step: [
    [
      'step',
      `CASE WHEN typeof(step) IN ('TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'UINTEGER', 'UBIGINT')
        THEN CASE WHEN starts_with(CAST(step AS VARCHAR), '-') THEN '$[#' ELSE '$[' END || step || ']'
        ELSE '$."' || replace(CAST(step AS VARCHAR), '"', '\\"') || '"' END`,
    ],
  ],
  json_typeof: [
    [
      'item',
      `CASE json_type(item) WHEN 'OBJECT' THEN 'object' WHEN 'ARRAY' THEN 'array' WHEN 'VARCHAR' THEN 'string'
        WHEN 'BOOLEAN' THEN 'boolean' WHEN 'NULL' THEN 'null' ELSE CASE WHEN item IS NOT NULL THEN 'number' END END`,
    ],
  ],
};

/** Digits of a numeric's fraction, from its text. */
const fraction = `split_part(CAST(item AS VARCHAR), '.', 2)`;

const numbers: Readonly<Record<string, Macro>> = {
  // What a quotient is divided by: DuckDB makes NULL or infinity of a division by zero.
  nonzero: [['item', `CASE WHEN item = 0 THEN error('division by zero') ELSE item END`]],
  to_hex: [['item', `lower(hex(CAST(item AS BIGINT)))`]],
  scale: [['item', `strlen(${fraction})`]],
  min_scale: [['item', `strlen(rtrim(${fraction}, '0'))`]],
  width_bucket: [
    [
      'item, low, high, buckets',
      `CAST(greatest(0, least(buckets + 1, floor((item - low) * buckets / (high - low)) + 1)) AS INTEGER)`,
    ],
  ],
};

const bytes: Readonly<Record<string, Macro>> = {
  sha256: [['item', 'unhex(sha256(item))']],
  encode: [
    [
      'item, format',
      `CASE format WHEN 'hex' THEN lower(hex(item)) WHEN 'base64' THEN to_base64(item)
        ELSE error('unrecognized encoding: "' || format || '"') END`,
    ],
  ],
  decode: [
    [
      'item, format',
      `CASE format WHEN 'hex' THEN unhex(item) WHEN 'base64' THEN from_base64(item)
        ELSE error('unrecognized encoding: "' || format || '"') END`,
    ],
  ],
  regexp_count: [['item, pattern', 'CAST(len(regexp_extract_all(item, pattern)) AS INTEGER)']],
  regexp_substr: [['item, pattern', `nullif(regexp_extract(item, pattern), '')`]],
};

const arrays: Readonly<Record<string, Macro>> = {
  array_remove: [['list, item', 'list_filter(list, lambda each: each IS DISTINCT FROM item)']],
  array_replace: [
    [
      'list, item, other',
      'list_transform(list, lambda each: CASE WHEN each IS NOT DISTINCT FROM item THEN other ELSE each END)',
    ],
  ],
  // Elements with their numbers, as rows of (x, n) once they are unnested.
  pg_expandarray: [
    [
      'list',
      'list_transform(generate_series(1, len(list)), lambda place: struct_pack(x := list_extract(list, place), n := place))',
    ],
  ],
  array_positions: [
    [
      'list, item',
      'list_filter(generate_series(1, len(list)), lambda place: list_extract(list, place) IS NOT DISTINCT FROM item)',
    ],
  ],
};

const times: Readonly<Record<string, Macro>> = {
  justify_hours: [
    [
      'item',
      `to_months(CAST(datepart('year', item) * 12 + datepart('month', item) AS INTEGER))
        + to_days(CAST(datepart('day', item) + trunc(epoch(item - date_trunc('day', item)) / 86400) AS INTEGER))
        + to_microseconds(CAST(epoch_us(item - date_trunc('day', item)) % 86400000000 AS BIGINT))`,
    ],
  ],
  justify_days: [
    [
      'item',
      `to_months(CAST(datepart('year', item) * 12 + datepart('month', item) + trunc(datepart('day', item) / 30) AS INTEGER))
        + to_days(CAST(datepart('day', item) % 30 AS INTEGER)) + (item - date_trunc('day', item))`,
    ],
  ],
};

/** The values of an object's keys, in the order of json_keys. */
const jsonValues = (extract: string): string =>
  `list_transform(json_keys(item), lambda each: ${extract}(item, '$."' || replace(each, '"', '\\"') || '"'))`;

const documents: Readonly<Record<string, Macro>> = {
  json_values: [['item', jsonValues('json_extract')]],
  json_values_text: [['item', jsonValues('json_extract_string')]],
};

/** PostgreSQL's name of the type that DuckDB calls otherwise. */
const typeTitles = `MAP {'VARCHAR': 'text', 'DOUBLE': 'double precision', 'FLOAT': 'real', 'BLOB': 'bytea',
  'HUGEINT': 'numeric', 'UBIGINT': 'numeric', 'UINTEGER': 'bigint', 'TIMESTAMP': 'timestamp without time zone',
  'TIME': 'time without time zone', 'BIT': 'bit varying', '"NULL"': 'unknown'}`;

const inspection: Readonly<Record<string, Macro>> = {
  pg_typeof: [
    [
      'item',
      `CASE WHEN starts_with(typeof(item), 'DECIMAL') THEN regexp_replace(typeof(item), 'DECIMAL[^[]*', 'numeric')
        ELSE coalesce(${typeTitles}[regexp_replace(typeof(item), '(\\[\\d*\\])+$', '')]
          || coalesce(regexp_extract(typeof(item), '(\\[\\d*\\])+$'), ''), lower(typeof(item))) END`,
    ],
  ],
};

export const valueFunctions: Readonly<Record<string, Macro>> = {
  ...texts,
  ...numbers,
  ...bytes,
  ...arrays,
  ...times,
  ...documents,
  ...inspection,
};
