// Which functions a statement may call: a list of what is allowed, so that what DuckDB learns to do tomorrow (read
// files, run queries, show settings) is refused until somebody has looked at it.

const words = (text: string): string[] => text.trim().split(/\s+/);

/** Functions that DuckDB has under the same name and with the same meaning, or that only DuckDB has. */
export const allowedFunctions: ReadonlySet<string> = new Set(
  words(`
    any_value approx_count_distinct approx_quantile arg_max arg_min array_agg avg bit_and bit_or bit_xor bool_and
    bool_or corr count count_if covar_pop covar_samp entropy geomean histogram kurtosis list mad max max_by median min percentile_cont percentile_disc
    min_by mode product quantile_cont quantile_disc regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope
    regr_sxx regr_sxy regr_syy skewness stddev stddev_pop stddev_samp string_agg sum var_pop var_samp variance

    cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number

    abs acos acosh asin asinh atan atan2 atanh cbrt ceil ceiling cos cosh cot degrees even exp factorial floor gamma
    gcd greatest isfinite isinf isnan lcm least lgamma ln log log10 log2 mod nextafter pi pow power radians random
    round sign sin sinh sqrt tan tanh trunc xor bit_count

    ascii bit_length char_length character_length chr concat concat_ws contains ends_with hex jaccard jaro_similarity
    jaro_winkler_similarity left length levenshtein lower ltrim md5 regexp_escape regexp_extract
    regexp_extract_all regexp_full_match regexp_replace replace reverse right rtrim split_part
    starts_with string_split strip_accents strlen strpos translate trim unicode upper url_decode
    url_encode

    age century date_add date_diff date_part date_sub date_trunc day dayname dayofmonth dayofweek dayofyear decade
    epoch epoch_ms epoch_ns epoch_us hour isodow isoyear last_day make_date make_time make_timestamp make_timestamptz
    microsecond millisecond minute month monthname quarter second strftime strptime time_bucket timezone to_days
    to_hours to_microseconds to_milliseconds to_minutes to_months to_seconds to_years try_strptime week weekday
    weekofyear year yearweek

    array_append array_prepend array_position flatten len list_avg list_concat list_contains list_count list_distinct
    list_extract list_has_all list_has_any list_max list_median list_min list_position list_reverse list_slice
    list_sort list_sum list_unique list_value unnest

    json json_array json_array_length json_contains json_exists json_extract json_extract_string json_group_array
    json_group_object json_keys json_object json_quote json_structure json_type json_valid json_value row_to_json
    to_json

    gen_random_uuid uuid typeof nullif
  `),
);

/** PostgreSQL's (and Timescale's) names for what DuckDB calls otherwise; arguments stay as they are. */
export const renamedFunctions: Readonly<Record<string, string>> = {
  array_cat: 'list_concat',
  array_to_json: 'to_json',
  btrim: 'trim',
  cardinality: 'len',
  ceiling: 'ceil',
  every: 'bool_and',
  json_agg: 'json_group_array',
  jsonb_agg: 'json_group_array',
  json_build_array: 'json_array',
  jsonb_build_array: 'json_array',
  json_build_object: 'json_object',
  jsonb_build_object: 'json_object',
  json_object_agg: 'json_group_object',
  jsonb_object_agg: 'json_group_object',
  jsonb_array_length: 'json_array_length',
  jsonb_typeof: 'json_typeof',
  octet_length: 'strlen',
  position: 'strpos',
  regexp_like: 'regexp_matches',
  regexp_split_to_array: 'string_split_regex',
  to_jsonb: 'to_json',
  uuid_generate_v4: 'gen_random_uuid',
};

/** Reading files, running text as SQL, and looking at the engine itself. Refused with its own message. */
export const deniedFunctions =
  /^(read_\w+|parquet_\w+|json_execute_\w+|glob|sniff_csv|getenv|getvariable|query|query_table|duckdb_\w+|pragma_\w+|seq_scan|arrow_scan\w*|write_log|which_secret|copy_\w+|import_\w+|pg_read_\w+|pg_ls_\w+|lo_\w+|dblink\w*)$/;
