// Expressions and queries for the differential test, one a line; each must give what PostgreSQL gives.

/** Each line is what stands after SELECT. */
export const expressions = `
1/2, 7/2, -7/2, 7/-2, 7%3, -7%3, 7%-3
1/0
1.0/0
5%0
1/(2-2)
mod(5, 0)
2^3, 2^10
|/ 25, ||/ 27, 5 & 3, 5 | 3, 5 # 3, ~5, 1 << 4, 16 >> 2
abs(-5), abs(-5.5), sign(-3), sign(2.5), sign(0)
ceil(1.2), ceiling(-1.2), floor(-1.2), round(2.5), round(-2.5), round(2.567, 2), trunc(2.567, 1), trunc(-2.5)
mod(7,3), mod(-7,3), div(7,2), gcd(12,18), lcm(4,6)
power(2,10), sqrt(2::float8), exp(1::float8), ln(2::float8), log(100::float8)
pi(), degrees(pi()), radians(180)
sin(1), cos(1), tan(1), asin(0.5), acos(0.5), atan(1), atan2(1,2), cot(1), sinh(1), cosh(1), tanh(1)
greatest(1,2,3), least(1,2,null), greatest(null, null), least('b','a')
0.1+0.2, 0.1::float8+0.2::float8, 1.1*1.1, 1.10, 100.00
1::float8/3, 'NaN'::float8, 'Infinity'::float8, '-Infinity'::float8, 1.5e300::float8, 123456789012345678::float8
1::numeric(10,2), 12345.678::numeric(8,1), 1.5::int, -1.5::int, '12'::int, ' 12 '::int
2147483647+1
9223372036854775807+1
32767::int2 + 1::int2
'12abc'::int
300000::int2
'abc' || 'def', 'a' || 1, 1 || 'a', 'abc' || null
length('äöü'), octet_length('äöü'), char_length('abc'), bit_length('abc'), length('')
upper('abcä'), lower('ABCÄ'), initcap('hello wORLD foo-bar')
substring('hello' from 2 for 3), substring('hello', 2), substr('hello', 2, 2), substr('hello', -1, 3), substr('hello', 0, 2)
substring('hello' from 'l+'), substring('foobar' from 'o(.)b'), substring('x' from 'y')
left('hello', 2), right('hello', 2), left('hello', -2), right('hello', -2), left('hello', 9)
position('l' in 'hello'), strpos('hello','lo'), strpos('hello','z')
trim('  x '), ltrim('xxabc','x'), rtrim('abcxx','x'), btrim('xyabcyx','xy'), trim(both 'x' from 'xax'), trim(leading from '  x')
lpad('5', 3, '0'), rpad('5', 3, 'ab'), lpad('hello', 2), lpad('x', 4)
replace('hello','l','L'), translate('12345','143','ax'), reverse('abc'), repeat('ab',3), repeat('a', 0)
split_part('a,b,c', ',', 2), split_part('a,b,c', ',', -1), split_part('a,b,c',',',9)
ascii('A'), chr(65), md5('a'), to_hex(255), to_hex(0)
concat('a', null, 1), concat_ws('-', 'a', null, 'b'), concat()
format('%s-%s', 'a', 1), format('%I', 'A b'), format('%L', 'it''s'), format('%2$s %1$s %%', 'a', 'b')
quote_ident('a b'), quote_literal('it''s'), quote_nullable(null), quote_ident('abc'), quote_ident('select'), quote_ident('A"b')
starts_with('hello','he'), 'hello' like 'h%', 'hello' ilike 'H_LLO', 'a%b' like 'a\\%b', 'hello' not like 'x%', 'a' like null
'a%' like 'a#%' escape '#', 'ab' like 'a_', E'a\\nb' like 'a%b'
'abc' ~ 'b', 'abc' ~* 'B', 'abc' !~ 'z', 'abc' !~* 'B', 'a1' ~ '^[a-z]\\d$', '' ~ ''
'abc' similar to 'a(b|x)c', 'abc' not similar to '%b', 'abc' similar to 'a_c', 'a.c' similar to 'a.c', 'abc' similar to 'ab'
regexp_replace('foobar', 'o+', 'X'), regexp_replace('foobar','o','X','g'), regexp_replace('foobar', '(o)(b)', '\\2\\1')
regexp_match('foobar', 'o(b)'), regexp_match('foobar', 'o+'), regexp_match('x', 'y'), regexp_count('aaa','a'), regexp_substr('foobar','o+')
regexp_split_to_array('a1b2c', '\\d')
string_to_array('a,b,c', ','), array_to_string(array[1,2,null], ','), array_to_string(array['a',null], ',', '*'), string_to_array('', ',')
encode('abc'::bytea,'hex'), encode('abc'::bytea,'base64'), decode('616263','hex'), '\\x6162'::bytea, 'abc'::bytea
sha256('abc'::bytea), md5('abc'::bytea)
true and null, false or null, not true, null is null, 1 is distinct from null, null is not distinct from null, null::int = 1
true::int, 1::bool, 't'::bool, 'yes'::bool, 'off'::bool, true::text, false::text, 'n'::bool
true is true, null::bool is not true, null::bool is unknown, false is not unknown
case when 1=1 then 'a' else 'b' end, case 3 when 1 then 'x' end, coalesce(null, 'd'), nullif(1,1), nullif(1,2)
case when null then 1 else 2 end, coalesce(null, null, 3), case 1 when 1 then 'one' when 2 then 'two' end
1 between 0 and 2, 1 not between 2 and 3, 2 between symmetric 3 and 1, null between 1 and 2
1 in (1,2), 3 not in (1,2), null in (1), 1 in (null, 1), 2 in (null, 1)
date '2024-02-29', date '2024-02-29' + 1, date '2024-03-01' - date '2024-02-01', date '2024-01-01' - 1
timestamp '2024-02-29 12:34:56.789', timestamptz '2024-02-29 12:34:56+02', time '12:34', time '12:34:56.5', timetz '12:34+02'
timestamptz '2024-02-29 12:00+00' at time zone 'America/New_York', timestamp '2024-02-29 12:00' at time zone 'Europe/Vienna'
timestamptz '2024-07-01T00:00:00Z', timestamp '2024-07-01T01:02:03', date '20240701', '2024-07-01'::timestamp
date '2024-01-31' + interval '1 month', timestamp '2024-01-01' - timestamp '2023-12-25 12:00', timestamp '2024-01-31' + interval '1 month 1 day'
interval '1 day 2 hours', interval '1.5 hours', interval '1 year 2 months 3 days', interval '-1 day', interval '90 minutes', interval '1 week'
interval '1' day, interval '2:30' hour to minute, interval 'P1DT2H', interval '1-2' year to month, interval '1 day ago', interval '0'
interval '1 day' * 2, interval '1 day' / 2, interval '1 hour' + interval '30 min', - interval '1 day', 2.5 * interval '1 hour'
interval '1 day' = interval '24 hours', interval '1 month' > interval '29 days', interval '1 hour' < interval '61 minutes'
extract(year from date '2024-02-29'), extract(dow from date '2024-02-29'), extract(isodow from date '2024-03-03'), extract(doy from date '2024-12-31')
extract(quarter from date '2024-05-01'), extract(week from date '2024-01-01'), extract(century from date '2024-01-01'), extract(month from interval '14 months')
extract(hour from timestamp '2024-01-01 13:14:15.5'), extract(second from timestamp '2024-01-01 13:14:15.5'), extract(milliseconds from timestamp '2024-01-01 13:14:15.5')
date_part('year', date '2024-02-29'), date_part('epoch', interval '1 day'), date_part('month', interval '14 months'), date_part('second', time '01:02:03.25')
date_part('epoch', timestamptz '2024-01-01 00:00:00.5+00'), date_part('minute', timestamp '2024-01-01 13:14:15')
date_trunc('hour', timestamp '2024-02-29 12:34:56'), date_trunc('month', timestamptz '2024-02-29 12:34:56+00'), date_trunc('day', interval '1 day 5 hours')
date_trunc('year', timestamp '2024-02-29 12:34:56'), date_trunc('quarter', timestamp '2024-05-29'), date_trunc('week', timestamp '2024-02-29'), date_trunc('minute', timestamp '2024-02-29 12:34:56')
date_bin('15 minutes', timestamp '2024-02-29 12:34:56', timestamp '2024-01-01'), date_bin('1 hour', timestamp '2024-02-29 12:34:56', timestamp '2024-01-01 00:30')
to_char(timestamp '2024-02-29 12:34:56.789', 'YYYY-MM-DD HH24:MI:SS.MS'), to_char(timestamp '2024-02-29 12:34:56', 'Dy, DD Mon YYYY'), to_char(timestamp '2024-02-09','FMDD FMMonth')
to_char(timestamp '2024-02-29 15:04:05', 'HH12:MI:SS AM'), to_char(date '2024-02-29', 'DDD IYYY-IW'), to_char(timestamp '2024-02-29', '"year" YYYY')
to_date('2024-02-29','YYYY-MM-DD'), to_timestamp('2024-02-29 12:00','YYYY-MM-DD HH24:MI'), to_timestamp(0), to_timestamp(1.5)
age(timestamp '2024-03-01', timestamp '2024-01-31'), justify_hours(interval '27 hours'), justify_days(interval '35 days')
make_date(2024,2,29), make_time(1,2,3.5), make_timestamp(2024,2,29,1,2,3.5), make_interval(days => 10), make_interval(hours => 2, mins => 5)
isfinite(date '2024-01-01'), isfinite('infinity'::timestamp), 'infinity'::timestamp, '-infinity'::date
timestamp '2024-01-01' < timestamp '2024-01-02', date '2024-01-01' = timestamp '2024-01-01', timestamptz '2024-01-01 00:00+00' > timestamp '2023-12-31'
array[1,2,3], '{1,2,3}'::int[], array['a','b c',null], array[[1,2],[3,4]], array[]::int[], '{}'::text[], array['NULL', '', 'a,b', 'q"']
(array[1,2,3])[2], (array[1,2,3])[5], (array[1,2,3])[2:3], array_length(array[1,2],1), cardinality(array[1,2]), array_upper(array[1,2],1), array_length(array[]::int[], 1)
array[1,2] || array[3], array[1,2] || 3, 0 || array[1], array_append(array[1],2), array_prepend(0,array[1]), array_cat(array[1],array[2])
array_remove(array[1,2,1],1), array_replace(array[1,2],1,9), array_position(array['a','b'],'b'), array_positions(array[1,2,1],1), array_position(array['a'], 'z')
array[1,2] = array[1,2], array[1,2] @> array[1], array[1] <@ array[1,2], array[1,2] && array[2,3], array[1,2] < array[1,3], array[1] <> array[2]
1 = any(array[1,2]), 3 = any('{1,2}'::int[]), 1 <> all(array[2,3]), 1 < any(array[0,2]), 5 > all(array[1,2]), 1 = any(array[2,null]), 'a' = any('{a,b}')
unnest(array[1,2,3])
generate_series(1,3)
generate_subscripts(array['a','b'],1)
'{"a":1,"b":[1,2,{"c":"x"}]}'::json->'b'->2->>'c', '{"a":{"b":2}}'::jsonb#>>'{a,b}', '{"a":1}'::json->>'z', '[1,2,3]'::json->-1
'{"a":1}'::jsonb ? 'a', '{"a":1,"b":2}'::jsonb ?| array['x','b'], '{"a":1}'::jsonb @> '{"a":1}', '[1,2]'::jsonb @> '1', '{"a.b":"x"}'::jsonb->>'a.b'
'{"a":"b"}'::json->>'a' = 'b', ('{"n":5}'::json->>'n')::int + 1, '{"a":null}'::jsonb->>'a' is null
json_typeof('1'), jsonb_typeof('"a"'), json_array_length('[1,2]'), jsonb_array_length('[]'), json_typeof('null'), json_typeof('{}'), json_typeof('true')
json_extract_path_text('{"a":{"b":1}}','a','b'), to_json('a'::text), to_jsonb(1)
'a'::varchar(1), 'abc'::varchar(2), 'abc'::name, 'x'::text collate "C", 'a' < 'B' collate "C"
E'a\\nb', $$x$$, U&'\\0041', e'\\x41'
b'101', x'ff', x'1'
'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid::text
1 as "A", 2 as b, 3 c, null, 'x', true
pg_typeof(1), pg_typeof('a'::text), pg_typeof(1.5), pg_typeof(now()), pg_typeof(array[1]), pg_typeof(1::float8), pg_typeof(null::date)
row(1,2) = row(1,2), (1,2) < (1,3), (1,2) = (1,3)
exists(select 1), (select 5), array(select generate_series(1,3)), 3 in (select 3), 2 > all(select 1), 2 = some(select 2), not exists (select 1 where false)
current_date is not null, now() is not null, localtimestamp is not null, current_time is not null, now() = current_timestamp
factorial(5), scale(1.23), min_scale(1.230), width_bucket(5,0,10,5)
random() between 0 and 1
current_schema(), current_schemas(false), pg_encoding_to_char(6), current_setting('server_encoding')
'public'::regnamespace::text, 'int4'::regtype::text, 'pg_class'::regclass::text, 23::regtype, format_type(1043, 14), format_type(1700, 655366)
to_regclass('nope') is null, pg_size_pretty(123456789::bigint), pg_size_pretty(100::bigint)
nope
nope(1)
1 +
'a'::int
'2024-13-01'::date
'x'::timestamp
1::nosuchtype
(select 1 union select 2)
lower(1)
sum('a'::text)
`;

/** Whole statements. Those over `metrics` and `logs` see the same rows on both sides. */
export const queries = `
select * from unnest(array[1,2], array['a','b']) as t(x,y)
select * from unnest(array['a','b']) with ordinality as t(v,n)
select * from generate_series(1,10,3) g
select g.* from generate_series(3,1,-1) as g
select * from generate_series(timestamp '2024-01-01', timestamp '2024-01-02', interval '12 hours') g
select * from json_array_elements('[1,"a",null]')
select * from json_each('{"a":1,"b":"x"}')
select e.key, e.value from jsonb_each_text('{"a":1,"b":"x"}') as e
select * from json_object_keys('{"a":1,"b":2}')
select string_agg(x, ',' order by x desc) from (values ('a'),('b')) t(x)
select count(*), count(x), sum(x), min(x), max(x), count(distinct x) from (values (1),(2),(null),(2)) t(x)
select sum(x), avg(x), stddev(x), variance(x), stddev_pop(x), var_pop(x) from (values (1.5::float8),(2.5)) t(x)
select bool_and(x), bool_or(x), every(x) from (values (true),(false)) t(x)
select array_agg(x order by x), array_agg(distinct x order by x) from (values (2),(1),(2)) t(x)
select percentile_cont(0.5) within group (order by x), percentile_disc(0.5) within group (order by x), mode() within group (order by x) from (values (1),(2),(2),(4)) t(x)
select covar_pop(x,y), regr_count(x,y) from (values (1.0::float8,2.0::float8),(2,4),(3,7)) t(x,y)
select x, count(*) from (values (1),(1),(2)) t(x) group by x having count(*) > 1
select a, b, sum(c) from (values (1,1,1),(1,2,2),(2,1,3)) t(a,b,c) group by rollup(a,b) order by a nulls last, b nulls last
select a, b, sum(c), grouping(a,b) from (values (1,1,1),(1,2,2)) t(a,b,c) group by grouping sets ((a),(b),()) order by 1,2
select a, b, count(*) from (values (1,1),(1,2)) t(a,b) group by cube(a,b) order by 1,2
select sum(x) filter (where x > 1), count(*) filter (where x is null) from (values (1),(2)) t(x)
select x, row_number() over (order by x), rank() over (order by x), dense_rank() over (order by x), lag(x) over (order by x), sum(x) over (order by x rows between 1 preceding and current row) from (values (1),(2),(2)) t(x) order by x, 2
select ntile(2) over (order by x), first_value(x) over w, last_value(x) over w, percent_rank() over w, cume_dist() over w, nth_value(x, 2) over w from (values (1),(2),(3)) t(x) window w as (order by x)
select lead(x, 1, -1) over (order by x), lag(x, 2) over (order by x) from (values (1),(2),(3)) t(x)
select sum(x) over (partition by y order by x range between unbounded preceding and current row) from (values (1,'a'),(2,'a'),(3,'b')) t(x,y) order by 1
select distinct x from (values (1),(1),(2)) t(x) order by x
select distinct on (x) x, y from (values (1,'b'),(1,'a'),(2,'c')) t(x,y) order by x, y
select * from (values (1,'a'),(2,'b')) t(x,y) order by x desc limit 1 offset 0
select * from (values (1),(2)) t(x) union select 3 order by 1
select 1 union all select 1
select 1 intersect select 1
select 1 except select 1
select 1 union (select 2 union all select 2) order by 1
with recursive r(n) as (select 1 union all select n+1 from r where n < 4) select sum(n) from r
with recursive r(n, f) as (select 1, 1 union all select n+1, f*(n+1) from r where n < 6) select * from r order by n
with a as (select 1 x) select * from a, lateral (select a.x + 1 y) b
with a as (select 1 x), b as (select x + 1 as x from a) select * from a union all select * from b
select * from (values (1),(2)) a(x) left join (values (2,'t')) b(x,y) using (x) order by 1
select * from (values (1),(2)) a(x) full join (values (2),(3)) b(y) on x = y order by 1, 2
select * from (values (1),(2)) a(x) right join (values (2),(3)) b(y) on x = y order by 2
select * from (values (1),(2)) a(x) cross join (values (3)) b(y) order by 1
select * from (values (1,2)) a(x,y) natural join (values (1,3)) b(x,z)
select a.x from (values (1),(2)) a(x) where exists (select 1 from (values (2)) b(x) where b.x = a.x)
select a.x from (values (1),(2)) a(x) where a.x not in (select x from (values (2)) b(x))
select x, (select count(*) from (values (1),(2),(3)) b(y) where y <= x) from (values (1),(3)) a(x) order by 1
select x from (values (1),(null),(2)) t(x) order by x
select x from (values (1),(null),(2)) t(x) order by x desc
select x from (values (1),(null),(2)) t(x) order by x desc nulls last
select x from (values (1),(null),(2)) t(x) order by x nulls first
select x from (values (1),(2),(3)) t(x) order by x fetch first 2 rows only
select x from (values (1),(2),(3)) t(x) order by x offset 1 row
select x as y from (values (2),(1)) t(x) order by y
select x + 1 from (values (2),(1)) t(x) order by 1
values (1, 'a'), (2, null)
table logs
select * from nope
select x from (values (1)) t(x) group by y
select x, count(*) from (values (1)) t(x)
select t.nope from (values (1)) t(x)
select x from (values (1)) a(x), (values (1)) b(x)
select * from (values (1)) t(x), (values (2)) t(x)
selec 1
select count(*) from metrics
select name, count(*), sum(value), min(value), max(value), avg(value) from metrics group by name order by name
select name, series_id, timestamp, value, site, quality from metrics order by series_id
select labels->>'service', count(*) from metrics group by 1
select labels->>'a.b' from metrics limit 1
select date_trunc('hour', timestamp) as hour, count(*), sum(value) from metrics group by 1 order by 1
select date_bin('30 minutes', timestamp, timestamptz '2000-01-01 00:00:00+00') as bucket, avg(value) from metrics group by 1 order by 1
select extract(hour from timestamp), count(*) from metrics group by 1 order by 1
select floor(extract(epoch from timestamp)/3600)*3600 as time, avg(value) from metrics group by 1 order by 1
select * from metrics where timestamp between '2026-11-21T02:00:00Z' and '2026-11-21T03:00:00Z' order by timestamp
select value from metrics where timestamp > '2026-11-21 04:00:00+00' and name = 'up' order by 1
select value from metrics where timestamp >= timestamptz '2026-11-21 05:00:00+00' - interval '1 hour' order by 1
select value from metrics where quality is null and value in (1, 2, 7) order by value
select name, value - lag(value) over (partition by name order by timestamp) from metrics order by name, timestamp
select m.value, l.line from metrics m join logs l on l.timestamp = m.timestamp order by 1
select m.value, l.line from metrics m left join logs l using (timestamp) order by 1 limit 5
select line from logs where line ~ '[12]$' order by line
select count(*) filter (where severity = 'info'), count(attributes) from logs
select upper(line), length(line), position('e' in line) from logs order by 1
select string_agg(line, '; ' order by line) from logs
select case when value < 10 then 'low' else 'high' end as level, count(*) from metrics group by 1 order by 1
select name, array_agg(value order by value) from metrics where value < 5 group by name order by name
select to_char(timestamp, 'YYYY-MM-DD HH24:MI') from metrics order by timestamp limit 2
select timestamp at time zone 'Europe/Vienna' from metrics order by timestamp limit 2
select max(timestamp) - min(timestamp), max(timestamp)::date from metrics
select count(*) from metrics a, metrics b where a.series_id = b.series_id + 1
select coalesce(quality, 'good') as q, count(*) from metrics group by q order by q
select series_id % 3 as third, sum(value) from metrics group by third order by third
select name, rank() over (partition by name order by value desc) as r, value from metrics order by name, r limit 6
select (select max(value) from metrics m2 where m2.name = m1.name) as top, count(*) from metrics m1 group by m1.name order by 1
select value::int, value::text, value::numeric(6,2), timestamp::date, timestamp::time from metrics where series_id = 7
select value / 0 from metrics limit 1
select series_id / 0 from metrics limit 1
select nope from metrics
select sum(value) from metrics group by nope
`;

/** Where Firn is known to differ (differences.ts says how and why). */
export const differing = `
select 1/2.0
select 10/4.0, 10/3.0
select 2^0.5
select avg(x) from (values (1),(2),(null)) t(x)
select 1e-5
select 1::float4/3
select extract(epoch from timestamp '2024-01-01')
select date_trunc('week', date '2024-02-29')
select to_char(123.456, '999.99')
select to_number('12.5','99.9')
select justify_interval(interval '1 month -1 hour')
select (date '2024-01-01', date '2024-01-05') overlaps (date '2024-01-04', date '2024-01-06')
select array_ndims(array[[1],[2]])
select '{"b":1,"a":2}'::jsonb
select json_build_object('a',1,'b','x')
select json_build_array(1,'a',null)
select row_to_json(row(1,'a'))
select json_agg(x) from (values (2),(1)) t(x)
select jsonb_set('{"a":1}','{a}','2')
select '{"a":1}'::jsonb || '{"b":2}'
select '{"a":1,"b":2}'::jsonb - 'a'
select jsonb_pretty('{"a":1}')
select 'abc'::char(5)
select 'ab '::char(3) = 'ab'
select (1,'a')
select num_nulls(1,null)
select setseed(0.5)
select corr(x,y), regr_slope(y,x) from (values (1.0,2.0),(2,4),(3,7)) t(x,y)
select stddev(x) from (values (1.5),(2.5)) t(x)
select 'a' + 1
select * from unnest(array[1,2,3], array['a'])
select * from json_array_elements_text('[1,"a"]') as e
select 1 where 1
select length('\\x6162'::bytea)
select name, value from metrics where name like 'http%' and value % 2 = 0 order by value
select round(avg(value)::numeric, 2) from metrics
select to_regtype('int8')::text
select b'101'::int
select percentile_cont(array[0.25, 0.75]) within group (order by value) from metrics
select regexp_matches('foobar', 'o')
select xmlelement(name a)
select lo_import('/etc/passwd')
select pg_read_file('/etc/passwd')
select 1::money
select point(1,2)
select int4range(1,5)
select to_tsvector('a')
create table t (a int)
insert into metrics (value) values (1)
select * from metrics for update of nope
`;
