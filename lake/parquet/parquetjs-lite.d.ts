// What parquet-file.ts and parquet-footer.ts use of parquetjs-lite, which has no types of its own: the Thrift
// structures of the Parquet footer, and their codec.

declare module 'parquetjs-lite/gen-nodejs/parquet_types.js' {
  /** A Thrift structure; fields that are absent are not written. */
  interface Struct {
    write(protocol: unknown): void;
  }
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
      readonly row_groups: readonly {
        readonly columns: readonly {
          readonly meta_data: {
            readonly path_in_schema: readonly (string | Uint8Array)[];
            readonly statistics: Readonly<
              Record<'min_value' | 'max_value', string | Uint8Array | null>
            > | null;
          } | null;
        }[];
      }[];
    };
    readonly LogicalType: StructClass;
    readonly MicroSeconds: StructClass;
    readonly PageHeader: StructClass;
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
    decodeThrift(struct: unknown, bytes: Buffer): number;
  };
  export = util;
}
