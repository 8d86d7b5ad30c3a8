// What this folder uses of parquetjs-lite, which has no types of its own: the Thrift
// structures of the Parquet footer, and their codec.

declare module 'parquetjs-lite/gen-nodejs/parquet_types.js' {
  /** A Thrift structure; fields that are absent are not written. */
  interface Struct {
    write(protocol: unknown): void;
  }
  /** A number by `Number(...)`. */
  type Int64 = { valueOf(): number };
  type StructClass = new (fields?: Readonly<Record<string, unknown>>) => Struct;
  const types: {
    readonly ColumnChunk: StructClass;
    readonly ColumnMetaData: StructClass;
    readonly ColumnOrder: StructClass;
    readonly DataPageHeader: StructClass;
    readonly DictionaryPageHeader: StructClass;
    readonly FileMetaData: new (
      fields?: Readonly<Record<string, unknown>>,
    ) => Struct & {
      /** As decoded. */
      readonly schema: readonly {
        readonly name: string | Uint8Array;
        readonly repetition_type: number | null;
        readonly type: number | null;
        readonly converted_type: number | null;
        readonly field_id: number | null;
        readonly num_children: number | null;
      }[];
      readonly row_groups: readonly {
        readonly num_rows: Int64;
        readonly columns: readonly {
          readonly meta_data: {
            readonly path_in_schema: readonly (string | Uint8Array)[];
            readonly codec: number;
            readonly encodings: readonly number[];
            readonly num_values: Int64;
            readonly total_uncompressed_size: Int64;
            readonly total_compressed_size: Int64;
            readonly data_page_offset: Int64;
            readonly dictionary_page_offset: Int64 | null;
            readonly key_value_metadata: readonly { readonly key: string; readonly value: string }[] | null;
            readonly statistics:
              | (Readonly<Record<'min_value' | 'max_value', string | Uint8Array | null>> & {
                  readonly null_count: Int64 | null;
                })
              | null;
          } | null;
        }[];
      }[];
    };
    readonly KeyValue: StructClass;
    readonly LogicalType: StructClass;
    readonly MicroSeconds: StructClass;
    readonly PageHeader: new (
      fields?: Readonly<Record<string, unknown>>,
    ) => Struct & {
      /** As decoded. */
      readonly compressed_page_size: number;
      readonly uncompressed_page_size: number;
      readonly data_page_header: { readonly num_values: number; readonly encoding: number } | null;
      readonly dictionary_page_header: { readonly num_values: number } | null;
    };
    readonly RowGroup: StructClass;
    readonly SchemaElement: StructClass;
    readonly Statistics: StructClass;
    readonly StringType: StructClass;
    readonly TimeUnit: StructClass;
    readonly TimestampType: StructClass;
    readonly TypeDefinedOrder: StructClass;
  };

  export = types;
}

declare module 'parquetjs-lite/lib/util.js' {
  const util: {
    serializeThrift(struct: unknown): Buffer;
    /** Fills the structure, and returns how many bytes it took. */
    decodeThrift(struct: unknown, bytes: Buffer, offset?: number): number;
  };
  export = util;
}
