import { allowedFunctions } from '../passes/function-names.ts';

// What may be called in DuckDB's own syntax, besides operators and the catalog's functions. As in function-names.ts this is
// a list of what is allowed. What makes a list or a text of a size that its arguments say is not on it: DuckDB's memory
// limit does not see these, the macros of the catalog limit theirs.

const words = (text: string): string[] => text.trim().split(/\s+/);

export const nativeFunctions: ReadonlySet<string> = new Set([
  ...allowedFunctions,
  ...words(`
    add alias apply arbitrary arg_max_null arg_min_null argmax argmin array_apply array_contains array_cosine_similarity
    array_distance array_distinct array_extract array_filter array_has array_has_all array_has_any array_indexof array_inner_product
    array_intersect array_pop_back array_pop_front array_push_back array_push_front array_reduce array_reverse array_reverse_sort
    array_select array_slice array_sort array_sum array_transform array_unique array_value array_where array_zip
    bit_position cardinality concat_ws count_star date_diff datediff datepart datesub datetrunc 
    constant_or_null decode divide editdist3 element_at encode enum_code enum_range epoch_ns favg filter first 
    from_base64 fsum greatest group_concat hamming hash if ifnull ilike_escape instr isodow julian last lcase
    len like_escape list_any_value list_append list_apply list_bit_and list_bit_or list_cat list_contains list_cosine_similarity
    list_count list_distance list_distinct list_element list_extract list_filter list_first list_grade_up list_has list_histogram
    list_indexof list_inner_product list_intersect list_last list_max list_median list_mode list_pack list_prepend list_product
    list_reduce list_reverse_sort list_select list_stddev_pop list_stddev_samp list_string_agg list_transform list_unique list_value
    list_var_pop list_var_samp list_where list_zip listagg make_timestamp_ns map map_concat map_contains map_entries
    map_extract map_extract_value map_from_entries map_keys map_values max mean millennium mismatches multiply
    nanosecond not_ilike_escape not_like_escape nfc_normalize ord prefix quantile
    reduce regexp_matches regexp_split_to_array row sem sha1 signbit split str_split str_split_regex
    string_split_regex string_to_array strip_accents struct_concat struct_extract struct_extract_at struct_insert struct_pack
    substring substring_grapheme subtract suffix sumkahan to_base64 to_centuries to_decades to_millennia to_quarters to_timestamp
    to_weeks today try try_strptime ucase unbin unhex union_extract union_tag union_value unpivot_list uuid_extract_timestamp
    weighted_avg wavg xor yearweek json_keys
    json_extract_path json_extract_path_text json_merge_patch json_transform json_transform_strict json_group_structure
    from_json from_json_strict  
  `),
]);

/** Functions that are tables. */
export const nativeTableFunctions: ReadonlySet<string> = new Set(['generate_series', 'range', 'unnest']);

/** The statement's own time, without an argument. */
export const clockFunctions: ReadonlySet<string> = new Set([
  'now',
  'get_current_timestamp',
  'transaction_timestamp',
]);
