// What parquet-file.ts uses of parquetjs-lite, which has no types of its own: the Thrift structures of the Parquet
// footer, their encoder, and snappy.

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
    readonly FileMetaData: StructClass;
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
  const util: { serializeThrift(struct: unknown): Buffer };
  export = util;
}

declare module 'parquetjs-lite/lib/compression.js' {
  const compression: { deflate(method: 'SNAPPY', bytes: Buffer): Uint8Array };
  export = compression;
}
