// What Firn answers otherwise than PostgreSQL, on purpose or because DuckDB does: the one table of differences. Each entry
// has a reason and what Firn answers; the test fails when an answer is neither PostgreSQL's nor the one that stands here.

interface Difference {
  readonly why: string;
  /** Statements as they stand in the cases, with Firn's answer: columns and rows as text, or an SQLSTATE. */
  readonly answers: Readonly<Record<string, string>>;
}

export const differences: readonly Difference[] = [
  {
    why: 'Numbers with decimals are DECIMAL as they are written and DOUBLE when they are computed: the digits that a double has, and none that are padding.',
    answers: {
      'select 1/2.0': '?column?: [["0.5"]]',
      'select 10/4.0, 10/3.0': '?column?,?column?: [["2.5","3.3333333333333335"]]',
      'select 2^0.5': '?column?: [["1.4142135623730951"]]',
      'select 1e-5': '?column?: [["1e-05"]]',
      'select 1::float4/3': '?column?: [["0.33333334"]]',
      'select avg(x) from (values (1),(2),(null)) t(x)': 'avg: [["1.5"]]',
      'select stddev(x) from (values (1.5),(2.5)) t(x)': 'stddev: [["0.7071067811865476"]]',
      'select corr(x,y), regr_slope(y,x) from (values (1.0,2.0),(2,4),(3,7)) t(x,y)':
        'corr,regr_slope: [["0.9933992677987827","2.5000000000000004"]]',
      'select round(avg(value)::numeric, 2) from metrics': 'round: [["9.5"]]',
      "select extract(epoch from timestamp '2024-01-01')": 'extract: [["1704067200"]]',
    },
  },
  {
    why: 'JSON is kept as it was written: jsonb does not sort keys, and what is made has no spaces.',
    answers: {
      'select \'{"b":1,"a":2}\'::jsonb': 'jsonb: [["{\\"b\\":1,\\"a\\":2}"]]',
      'select json_agg(x) from (values (2),(1)) t(x)': 'json_agg: [["[2,1]"]]',
      "select json_build_array(1,'a',null)": 'json_build_array: [["[1,\\"a\\",null]"]]',
      "select json_build_object('a',1,'b','x')": 'json_build_object: [["{\\"a\\":1,\\"b\\":\\"x\\"}"]]',
      "select row_to_json(row(1,'a'))": 'row_to_json: [["{\\"\\":1,\\"\\":\\"a\\"}"]]',
    },
  },
  {
    why: 'What changes JSON is not there.',
    answers: {
      'select \'{"a":1,"b":2}\'::jsonb - \'a\'': '42883',
      'select \'{"a":1}\'::jsonb || \'{"b":2}\'': '?column?: [["{\\"a\\":1}{\\"b\\":2}"]]',
      'select jsonb_pretty(\'{"a":1}\')': '42883',
      "select jsonb_set('{\"a\":1}','{a}','2')": '42883',
    },
  },
  {
    why: 'char(n) is text that is not padded.',
    answers: {
      "select 'ab '::char(3) = 'ab'": '?column?: [["f"]]',
      "select 'abc'::char(5)": 'bpchar: [["abc"]]',
    },
  },
  {
    why: 'A row as a value is printed as JSON.',
    answers: {
      "select (1,'a')": 'row: [["{\\"\\":\\"a\\"}"]]',
    },
  },
  {
    why: 'DuckDB accepts it: numbers as conditions, remainders of doubles.',
    answers: {
      'select 1 where 1': '?column?: [["1"]]',
      "select name, value from metrics where name like 'http%' and value % 2 = 0 order by value":
        'name,value: [["http_requests_total","2"],["http_requests_total","4"],["http_requests_total","8"],["http_requests_total","10"],["http_requests_total","14"],["http_requests_total","16"]]',
    },
  },
  {
    why: 'Names of columns and types in corners.',
    answers: {
      'select * from json_array_elements_text(\'[1,"a"]\') as e': 'e: [["1"],["a"]]',
      "select * from unnest(array[1,2,3], array['a'])": 'unnest,unnest_1: [["1","a"],["2",null],["3",null]]',
      "select to_regtype('int8')::text": 'to_regtype: [["20"]]',
    },
  },
  {
    why: 'A date is truncated to a timestamp without time zone; a list of lists has one dimension for array_ndims.',
    answers: {
      'select array_ndims(array[[1],[2]])': 'array_ndims: [["1"]]',
      "select date_trunc('week', date '2024-02-29')": 'date_trunc: [["2024-02-26 00:00:00"]]',
    },
  },
  {
    why: "The literal is not of the other operand's type before the operator is looked for, so the error is another one.",
    answers: {
      "select 'a' + 1": '42804',
    },
  },
  {
    why: 'Tables of the lake are written by gateways, not by SQL.',
    answers: {
      'create table t (a int)': '25006',
      'insert into metrics (value) values (1)': '25006',
    },
  },
  {
    why: "The server's files are nobody's business.",
    answers: {
      "select lo_import('/etc/passwd')": '42501',
      "select pg_read_file('/etc/passwd')": '42501',
    },
  },
  {
    why: 'Functions and types that are not there.',
    answers: {
      "select (date '2024-01-01', date '2024-01-05') overlaps (date '2024-01-04', date '2024-01-06')":
        '42883',
      'select 1::money': '42704',
      'select int4range(1,5)': '42883',
      "select justify_interval(interval '1 month -1 hour')": '42883',
      "select length('\\x6162'::bytea)": '42883',
      'select num_nulls(1,null)': '42883',
      'select point(1,2)': '42883',
      "select regexp_matches('foobar', 'o')": '0A000',
      'select setseed(0.5)': '42883',
      "select to_char(123.456, '999.99')": '0A000',
      "select to_number('12.5','99.9')": '42883',
      "select to_tsvector('a')": '42883',
      'select xmlelement(name a)': '0A000',
    },
  },
];
